"""What each kind of layer does to channels, as a table that users can extend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

#: A map: int array (new channels,) of old channel numbers, -1 for a channel that is new.
Map = np.ndarray

#: Kinds that a custom layer may have.
KINDS = ("keep", "mix", "conv", "dense", "depthwise")
#: Kinds of layers that make channels, so that their width can be chosen.
PRODUCERS = ("conv", "conv_transpose", "dense")


@dataclass(frozen=True)
class ChannelRule:
    """How a layer carries channels, and what changes in it when they do.

    Attributes:
        kind: ``"keep"``: output channel c depends on channel c of the inputs alone. ``"mix"``: it
            keeps the channels' number and order, but computes with all of them (a softmax, a layer
            normalization), so none can leave without changing the others. ``"conv"`` and
            ``"dense"`` make new channels from all inputs through a ``kernel`` whose last two axes
            are inputs and outputs. ``"depthwise"`` has a ``kernel`` whose last two axes are inputs
            and a multiplier.
        config: Function (config, inputs, outputs) that returns the layer's configuration for other
            channels, where the arguments are ``get_config()`` and the maps of its channels: int
            arrays of old channel numbers, -1 for a new channel. None: nothing changes but
            ``filters`` or ``units``.
        axes: For weights by name, which axes run over channels: ``{axis: "inputs" | "outputs"}``.
            By default the last axis of everything but ``kernel`` runs over outputs.
    """

    kind: str
    config: Callable[[dict[str, Any], Map, Map], dict[str, Any]] | None = None
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def register_layer(cls: type[keras.Operation], rule: str | ChannelRule) -> None:
    """Say what a layer of your own does to channels.

    The rule holds for the class and those derived from it. Registering a class again replaces its
    rule.

    Args:
        cls: The class of the layer or operation.
        rule: A :class:`ChannelRule`, or its kind when nothing else needs to be said.

    Raises:
        ValueError: If the kind is not one of those a :class:`ChannelRule` may have, or ``cls`` is
            not a class of Keras layers or operations.

    Example:
        >>> class Scale(keras.layers.Layer):  # y = x·s, one s for each channel
        ...     def build(self, shape):
        ...         self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        ...     def call(self, x):
        ...         return x * self.scale
        >>> register_layer(Scale, "keep")
    """
    if not (isinstance(cls, type) and issubclass(cls, keras.Operation)):
        raise ValueError(f"expected a class of Keras layers or operations, got {cls!r}")
    if isinstance(rule, str):
        rule = ChannelRule(rule)
    if not isinstance(rule, ChannelRule) or rule.kind not in KINDS:
        kind = rule.kind if isinstance(rule, ChannelRule) else rule
        raise ValueError(f"the kind of a rule must be one of {KINDS}, got {kind!r}")
    _REGISTERED[cls] = rule


def rule_of(cls: type) -> ChannelRule | None:
    """The rule of a class, None where there is none."""
    for base in cls.__mro__:
        if base in _REGISTERED:
            return _REGISTERED[base]
        if (rule := _RULES.get(_plain(base))) is not None:
            return rule
    return None


def refusal(cls: type) -> str | None:
    """Why layers of a class are refused by name, None where they are not."""
    if any(base in _REGISTERED for base in cls.__mro__):
        return None
    return next((_REFUSED[n] for n in map(_plain, cls.__mro__) if n in _REFUSED), None)


def is_spatial(cls: type) -> bool:
    """Whether a layer only moves, repeats or averages positions: its channels keep their mean."""
    return any(_plain(base) in _SPATIAL for base in cls.__mro__)


def _plain(cls: type) -> str:
    return re.sub("[123]D", "", cls.__name__)


def _reshaped(config: dict, inputs: Map, outputs: Map) -> dict:
    return config | {"target_shape": (*config["target_shape"][:-1], len(outputs))}


def _filtered(config: dict, inputs: Map, outputs: Map) -> dict:
    return config | {"filters": len(outputs)}


def _grouped(config: dict, inputs: Map, outputs: Map) -> dict:
    """A convolution with groups, which live and die whole."""
    per_group = config["filters"] // config["groups"]
    return config | {"filters": len(outputs), "groups": len(outputs) // per_group}


def _per_channel(*names: str) -> Callable[[dict[str, Any], Map, Map], dict[str, Any]]:
    """Entries of a configuration that may hold one number for each channel."""

    def config(config: dict, inputs: Map, outputs: Map) -> dict:
        def entry(name: str) -> Any:
            value = config[name]
            if isinstance(value, dict):  # An array, serialized.
                value = np.asarray(keras.saving.deserialize_keras_object(value)).tolist()
            return taken(value, outputs, f"{name} of {config['name']!r}")

        return config | {name: entry(name) for name in names}

    return config


def taken(value: Any, channels: Map, what: str) -> Any:
    """Entries of a constant (…, channels), as a nested list; a constant for all stays as it is.

    Raises:
        ValueError: If a channel is new, for which the constant has no entry.
    """
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[-1] == 1:
        return value
    if (channels < 0).any():
        raise ValueError(f"{what} is given for each channel and has no value for new ones")
    return array[..., channels].tolist()


# Layers and operations that move, repeat, average or drop positions.
_SPATIAL = {
    *("Identity", "Dropout", "SpatialDropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "StochasticDepth", "StopGradient", "Cast", "Copy"),
    *("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"),
    *("AdaptiveAveragePooling", "AdaptiveMaxPooling", "MaxPool", "AveragePool"),
    *("AdaptiveMaxPool", "AdaptiveAveragePool", "Pad", "ExpandDims", "Squeeze"),
    *("ZeroPadding", "Cropping", "UpSampling", "Resizing", "CenterCrop", "Resize"),
    *("RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomCrop"),
    *("RandomShear", "RandomPerspective", "RandomErasing", "RandomElasticTransform"),
    *("Mean", "Max", "Min", "Amax", "Amin", "Sum"),
}
# Others whose output channel c depends on channel c of their inputs only.
_KEEP = _SPATIAL | {
    *("ReLU", "LeakyReLU", "PReLU", "ELU", "Activation", "BatchNormalization"),
    *("Add", "Subtract", "Multiply", "Divide", "Average", "Maximum", "Minimum"),
    *("TrueDivide", "DivideNoNan", "Power", "Negative", "Absolute", "Abs", "Square", "Sqrt"),
    *("Rsqrt", "Reciprocal", "Exp", "Expm1", "Log", "Log1p", "Clip", "Sign", "Sin", "Cos", "Erf"),
    *("Relu", "Relu6", "Sigmoid", "HardSigmoid", "Silu", "HardSilu", "Tanh", "Gelu"),
    *("LeakyRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "LogSigmoid", "Squareplus"),
    *("SoftShrink", "HardShrink", "TanhShrink", "HardTanh", "Threshold", "SparsePlus"),
    *("CustomScaleLayer", "LayerScale"),
}
_RULES: dict[str, ChannelRule] = dict.fromkeys(_KEEP, ChannelRule("keep")) | {
    "InputLayer": ChannelRule("input"),
    "Conv": ChannelRule("conv", _filtered),
    "ConvTranspose": ChannelRule(
        "conv_transpose", _filtered, {"kernel": {-2: "outputs", -1: "inputs"}}
    ),
    "Dense": ChannelRule("dense", lambda config, _, outputs: config | {"units": len(outputs)}),
    "DepthwiseConv": ChannelRule("depthwise"),
    "SeparableConv": ChannelRule(
        "separable",
        _filtered,
        {
            "depthwise_kernel": {-2: "first"},
            "pointwise_kernel": {-2: "inputs", -1: "outputs"},
        },
    ),
    "Concatenate": ChannelRule("concat"),
    "Flatten": ChannelRule("reshape"),
    "Reshape": ChannelRule("reshape", _reshaped),
    "GetItem": ChannelRule("slice"),
    "Split": ChannelRule("slice"),
    "LayerNormalization": ChannelRule("mix"),
    "RMSNormalization": ChannelRule("mix"),
    "UnitNormalization": ChannelRule("mix"),
    "GroupNormalization": ChannelRule("group_norm"),
    "Softmax": ChannelRule("mix"),
    "LogSoftmax": ChannelRule("mix"),
    "Rescaling": ChannelRule("keep", _per_channel("scale", "offset")),
    "Normalization": ChannelRule("keep", _per_channel("mean", "variance")),
    "LayerScale": ChannelRule(
        "keep", lambda config, _, outputs: config | {"projection_dim": len(outputs)}
    ),
}
GROUPED = ChannelRule("depthwise", _grouped, {"kernel": {-1: "outputs"}})

_ATTENTION = "attention lets every position read every other through learned queries and keys"
_RECURRENT = "recurrent layers use their channels again at the next position"
_REFUSED = {
    **dict.fromkeys(
        (
            *("Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"),
            *("GroupedQueryAttention", "DotProductAttention"),
        ),
        f"{_ATTENTION}; its widths cannot be pruned",
    ),
    **dict.fromkeys(("RNN", "Bidirectional"), f"{_RECURRENT}; their widths cannot be pruned"),
}
_REGISTERED: dict[type, ChannelRule] = {}
