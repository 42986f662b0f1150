"""A functional Keras model as a list of steps, each saying how a layer carries channels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras

# Layers and operations whose output channel c depends on channel c of their inputs only.
_KEEP = {
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity"),
    *("BatchNormalization", "Normalization", "Rescaling", "ActivityRegularization"),
    *("Dropout", "SpatialDropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"),
    *("ZeroPadding", "Cropping", "UpSampling", "Resizing", "CenterCrop"),
    *("RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomCrop"),
    *("Add", "Subtract", "Multiply", "Divide", "Average", "Maximum", "Minimum"),
    *("Relu", "Relu6", "Sigmoid", "HardSigmoid", "Silu", "HardSilu", "Tanh", "Gelu"),
}
_KINDS = {
    "InputLayer": "input",
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "Dense": "dense",
    "DepthwiseConv": "depthwise",
    "Concatenate": "concat",
    "Flatten": "tile",
    "Reshape": "tile",
} | dict.fromkeys(_KEEP, "keep")
_UNKNOWN = "unknown"

PRODUCERS = ("conv", "conv_transpose", "dense")


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer, as far as channels are concerned.

    Attributes:
        kind: ``"input"``; ``"conv"``, ``"conv_transpose"`` and ``"dense"`` make new channels;
            ``"depthwise"`` repeats them, ``"tile"`` (Flatten, Reshape) lays them out once for each
            position, ``"concat"`` puts them side by side, ``"keep"`` hands them on.
        layer: The Keras layer, or an operation such as an addition of tensors.
        inputs: Numbers of the tensors it reads; step number n makes tensor number n.
        in_shapes: Their shapes without the batch axis, channels last.
        out_shape: Shape of the output without the batch axis, channels last.
    """

    kind: str
    layer: keras.Operation
    inputs: tuple[int, ...]
    in_shapes: tuple[tuple[int | None, ...], ...]
    out_shape: tuple[int | None, ...]

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.layer.name

    @property
    def in_channels(self) -> tuple[int, ...]:
        """Number of channels of each input."""
        return tuple(_channels(shape) for shape in self.in_shapes)

    @property
    def out_channels(self) -> int:
        """Number of channels of the output."""
        return _channels(self.out_shape)

    @property
    def makes_channels(self) -> bool:
        """Whether the layer is a convolution or dense layer, whose width can be chosen."""
        return self.kind in PRODUCERS


def walk(model: keras.Model) -> tuple[list[Step], list[int]]:
    """List the calls of a functional model in topological order.

    Args:
        model: A built functional or sequential Keras model, channels last, without nested models.

    Returns:
        The steps, and the numbers of the model's output tensors.

    Raises:
        ValueError: If a layer's effect on channels is not known, or the model has another form.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"expected a built functional Keras model, got {type(model).__name__}; "
            "build a Sequential model first, and pass the inner model of a subclassed one"
        )
    steps: list[Step] = []
    numbers: dict[int, int] = {}
    called = set()
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            layer, outputs = node.operation, node.outputs
            if layer in called and getattr(layer, "weights", None):
                raise ValueError(
                    f"layer {layer.name!r} is called twice; shared weights cannot be "
                    "resized: give each call a layer of its own"
                )
            called.add(layer)
            steps.append(_step(node, [numbers[id(t)] for t in node.input_tensors]))
            numbers[id(outputs[0])] = len(steps) - 1
    return steps, [numbers[id(t)] for t in model.outputs]


def _step(node: Any, inputs: list[int]) -> Step:
    layer = node.operation
    step = Step(
        _kind(type(layer)),
        layer,
        tuple(inputs),
        tuple(tuple(t.shape[1:]) for t in node.input_tensors),
        tuple(node.outputs[0].shape[1:]),
    )
    problem = _problem(step, len(node.outputs[0].shape) - 1)
    if problem:
        raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}): {problem}")
    return step


def _kind(layer: type) -> str:
    names = (re.sub("[123]D", "", base.__name__) for base in layer.__mro__)
    return next((_KINDS[name] for name in names if name in _KINDS), _UNKNOWN)


def _channels(shape: tuple[int | None, ...]) -> int:
    channels = shape[-1]
    assert channels is not None, "a step whose channels are unknown is refused when it is made"
    return channels


def _problem(step: Step, last_axis: int) -> str | None:
    """What MorphNet cannot handle about a step, if anything."""
    layer, channels = step.layer, step.out_shape[-1] if step.out_shape else None
    if isinstance(layer, keras.Model):
        return "models inside the model are not supported; build it from layers alone"
    if step.kind == _UNKNOWN:
        return (
            "its effect on channels is not known; convolutions, depthwise convolutions, dense "
            "layers and layers that keep channels apart are supported"
        )
    if channels is None:
        return f"the number of channels is unknown in {step.out_shape}; give Input a fixed shape"
    on_axis = step.kind == "concat" or hasattr(layer, "gamma")
    if getattr(layer, "data_format", None) == "channels_first" or (
        on_axis and layer.axis not in (-1, last_axis)
    ):
        return "channels must be on the last axis"
    if getattr(layer, "groups", 1) != 1:
        return f"grouped convolutions are not supported, got groups={layer.groups}"
    if step.kind == "tile" and channels % step.in_channels[0]:
        return f"reshaping {step.in_shapes[0]} to {step.out_shape} mixes channels"
    return None
