"""Rules for how each kind of layer treats channels, which users can extend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

#: A map: int array (new channels,) of old channel numbers, -1 for new channels.
Map = np.ndarray

#: Kinds that a custom layer may have.
KINDS = ("keep", "mix", "conv", "dense", "depthwise")
#: Kinds of layers that make new channels, so that their width can be chosen.
PRODUCERS = ("conv", "conv_transpose", "dense")
#: Kinds of layers with a kernel.
KERNELS = (*PRODUCERS, "depthwise", "separable")


# What a subclass of a layer overrides if it computes something else.
_COMPUTES = {"call", "convolution_op", "kernel"}


@dataclass(frozen=True)
class ChannelRule:
    """How a layer treats channels, and what changes in it when they change.

    Attributes:
        kind: ``"keep"``: output channel c depends only on channel c of the inputs. ``"mix"``: the
            channels keep their number and order, but the layer combines them (a softmax, a layer
            normalization), so removing one would change the others. ``"conv"`` and ``"dense"``
            make new channels from all inputs through a ``kernel`` whose last two axes are inputs
            and outputs. ``"depthwise"`` has a ``kernel`` whose last two axes are inputs and a
            multiplier.
        config: Function (config, inputs, outputs) that returns the layer's configuration for other
            channels. Its arguments are ``get_config()`` and the maps of the layer's channels: int
            arrays of old channel numbers, -1 for new channels. With None, only ``filters`` or
            ``units`` changes.
        axes: For weights by name, the axes that run over channels: ``{axis: "inputs" |
            "outputs"}``. By default, the last axis of every weight but ``kernel`` runs over
            outputs.
    """

    kind: str
    config: Callable[[dict[str, Any], Map, Map], dict[str, Any]] | None = None
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def register_layer(cls: type[keras.Operation], rule: str | ChannelRule) -> None:
    """Register how a custom layer treats channels.

    The rule applies to the class and its subclasses. Registering a class again replaces its rule.

    Args:
        cls: The class of the layer or operation.
        rule: A :class:`ChannelRule`, or only its kind if that is enough.

    Raises:
        ValueError: If ``cls`` is not a class of Keras layers or operations, or the kind is not
            one that a :class:`ChannelRule` may have.

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
    """Return the rule of a class, or None.

    A subclass of a layer of Keras has no rule if it computes something else.
    """
    changed = False
    for base in cls.__mro__:
        if base in _REGISTERED:
            return _REGISTERED[base]
        if (rule := _RULES.get(_keras_name(base))) is not None:
            return None if changed else rule
        changed = changed or not _COMPUTES.isdisjoint(vars(base))
    return None


def refusal(cls: type) -> str | None:
    """Return why layers of a class are not supported, or None."""
    if any(base in _REGISTERED for base in cls.__mro__):
        return None
    return next((_REFUSED[n] for n in map(_keras_name, cls.__mro__) if n in _REFUSED), None)


def is_spatial(cls: type) -> bool:
    """Return whether a layer only moves, repeats or combines positions.

    Estimates of means treat it as if it kept them, which is exact for averages only.
    """
    return any(_keras_name(base) in _SPATIAL for base in cls.__mro__)


def of_keras(defined: Any) -> bool:
    """Return whether a class or method is defined by Keras, and not by somebody else."""
    return defined.__module__.startswith("keras.")


def _keras_name(cls: type) -> str:
    """Return the name of a class of Keras without its rank; "" for a class of somebody else.

    A user's class may have the name of one of Keras', and do something else.
    """
    return re.sub("[123]D", "", cls.__name__) if of_keras(cls) else ""


def _reshaped(config: dict, inputs: Map, outputs: Map) -> dict:
    return config | {"target_shape": (*config["target_shape"][:-1], len(outputs))}


def _noise(config: dict, inputs: Map, outputs: Map) -> dict:
    """Change the shape of a dropout's noise, if it has one value for each channel."""
    shape = config.get("noise_shape")
    if shape is None or shape[-1] in (None, 1):
        return config
    return config | {"noise_shape": (*shape[:-1], len(outputs))}


def _filtered(config: dict, inputs: Map, outputs: Map) -> dict:
    return config | {"filters": len(outputs)}


def _grouped(config: dict, inputs: Map, outputs: Map) -> dict:
    """Change a convolution with groups, each of which stays or is removed as a whole."""
    per_group = config["filters"] // config["groups"]
    return config | {"filters": len(outputs), "groups": len(outputs) // per_group}


def _per_channel(*names: str) -> Callable[[dict[str, Any], Map, Map], dict[str, Any]]:
    """Return a function that changes entries that may hold one number for each channel."""

    def config(config: dict, inputs: Map, outputs: Map) -> dict:
        def entry(name: str) -> Any:
            value = config[name]
            if isinstance(value, dict):  # a serialized array
                value = np.asarray(keras.saving.deserialize_keras_object(value)).tolist()
            return taken(value, outputs, f"{name} of {config['name']!r}")

        return config | {name: entry(name) for name in names}

    return config


def taken(value: Any, channels: Map, what: str) -> Any:
    """Select channels of a constant (…, channels), as a nested list.

    A constant with a single channel, which applies to all, is returned unchanged.

    Raises:
        ValueError: If a channel is new, because the constant has no entry for it.
    """
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[-1] == 1:
        return value
    if (channels < 0).any():
        raise ValueError(f"{what} has one value for each channel, but none for new channels")
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
# All whose output channel c depends only on channel c of their inputs.
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
    "Dropout": ChannelRule("keep", _noise),
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

_ATTENTION = "attention connects all positions through learned queries and keys"
_RECURRENT = "recurrent layers read their own channels at the next position"
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
