"""One step of a model: a call of a layer, as far as channels are concerned."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.rules import GROUPED, PRODUCERS, ChannelRule


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One step of a model: a call of a layer, as far as channels are concerned.

    A separable convolution is two steps, and a split is one step for each of its parts.

    Attributes:
        kind: What the step does with channels. ``"input"`` is an image. ``"conv"``,
            ``"conv_transpose"`` and ``"dense"`` make new channels. ``"depthwise"`` repeats them
            (for a convolution with groups: each group of them). ``"tile"`` (Flatten, Reshape)
            lays them out once for each position, and ``"untile"`` gathers them again.
            ``"concat"`` concatenates and ``"slice"`` selects channels. ``"keep"`` passes them on;
            ``"mix"`` does too, but combines them; ``"reduce"`` turns them into one. ``"opaque"``
            is any preprocessing of the image.
        layer: The Keras layer, or an operation such as an addition of tensors.
        name: Name of the layer; inside a nested model ``"model/layer"``.
        inputs: Numbers of the tensors that the step reads; step number n makes tensor number n.
        in_shapes: Shapes of these tensors without the batch axis, channels last.
        out_shape: Shape of the output without the batch axis, channels last.
        node: The call in Keras' graph.
        rule: The layer's :class:`ChannelRule`.
        kernel: Name of the attribute that holds the kernel, or None.
        kernel_size: Size of the kernel; () for a dense layer or without a kernel.
        groups: Number of groups of a depthwise step or a group normalization.
        index: Input channels that a slice selects, int array (out channels,).
        part: Index of this output among the outputs of the node.
        mixes: Whether each output channel depends on all of them, as with a softmax activation.
    """

    kind: str
    layer: keras.Operation
    name: str
    inputs: tuple[int, ...]
    in_shapes: tuple[tuple[int | None, ...], ...]
    out_shape: tuple[int | None, ...]
    node: Any
    rule: ChannelRule
    kernel: str | None = None
    kernel_size: tuple[int, ...] = ()
    groups: int = 1
    index: np.ndarray | None = None
    part: int = 0
    mixes: bool = False

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

    @property
    def normalizes(self) -> bool:
        """Whether it is a batch or group normalization, which cancels the scale of its input."""
        return isinstance(
            self.layer, (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
        )


def kernel_of(step: LayerCall) -> np.ndarray:
    """Return the kernel of a step as an array whose last two axes are inputs and outputs.

    For a depthwise step they are the inputs of one group, and the outputs of all groups in turn.
    """
    value = ops.convert_to_numpy(getattr(step.layer, str(step.kernel)))
    if step.kind == "conv_transpose":
        return np.swapaxes(value, -1, -2)
    if step.kind == "depthwise" and step.rule is not GROUPED:
        return value.reshape(*value.shape[:-2], 1, -1)
    return value


def _channels(shape: tuple[int | None, ...]) -> int:
    channels = shape[-1]
    assert channels is not None, "describe() refuses steps with an unknown number of channels"
    return channels


def positions(shape: tuple[int | None, ...]) -> int | None:
    """Return the number of positions of a shape without batch axis, or None if unknown."""
    known = [side for side in shape[:-1] if side is not None]
    return prod(known) if len(known) == len(shape) - 1 else None


def per_channel(argument: Any) -> bool:
    """Return whether an argument of a call is a constant array with more than one channel."""
    if isinstance(argument, keras.KerasTensor) or not hasattr(argument, "shape"):
        return False
    return len(argument.shape) > 0 and argument.shape[-1] != 1
