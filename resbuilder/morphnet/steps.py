"""One call of a layer, as far as channels are concerned."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.rules import GROUPED, PRODUCERS, ChannelRule


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer, as far as channels are concerned.

    A separable convolution is two steps, and a split is one for each of its parts.

    Attributes:
        kind: ``"input"``; ``"conv"``, ``"conv_transpose"`` and ``"dense"`` make new channels;
            ``"depthwise"`` repeats them (each group of them, when a convolution has groups),
            ``"tile"`` (Flatten, Reshape) lays them out once for each position and ``"untile"``
            gathers them again, ``"concat"`` puts them side by side, ``"slice"`` takes some,
            ``"keep"`` hands them on, ``"mix"`` too but computes with all of them, ``"reduce"``
            makes one number of them, ``"opaque"`` is anything done to the image.
        layer: The Keras layer, or an operation such as an addition of tensors.
        name: Its name; inside a nested model ``"model/layer"``.
        inputs: Numbers of the tensors it reads; step number n makes tensor number n.
        in_shapes: Their shapes without the batch axis, channels last.
        out_shape: Shape of the output without the batch axis, channels last.
        node: The call in Keras' graph.
        rule: The layer's :class:`ChannelRule`.
        kernel: Name of the attribute that holds the kernel, of what has one.
        kernel_size: Size of the kernel, () for a dense layer and what has none.
        groups: Number of groups of a depthwise step or a group normalization.
        index: For a slice, the input channels it takes, int array (out channels,).
        part: Which output of the node this is.
        mixes: Whether its output is computed with all channels.
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
        """Whether it is a batch or group normalization: what comes before it has no scale."""
        return isinstance(
            self.layer, (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
        )


def kernel_of(step: Step) -> np.ndarray:
    """Kernel of a step as an array whose last axes are inputs and outputs.

    For a depthwise step of G groups: (…, inputs of a group, outputs), for all groups in turn.
    """
    value = ops.convert_to_numpy(getattr(step.layer, str(step.kernel)))
    if step.kind == "conv_transpose":
        return np.swapaxes(value, -1, -2)
    if step.kind == "depthwise" and step.rule is not GROUPED:
        return value.reshape(*value.shape[:-2], 1, -1)
    return value


def _channels(shape: tuple[int | None, ...]) -> int:
    channels = shape[-1]
    assert channels is not None, "a step whose channels are unknown is refused when it is made"
    return channels


def positions(shape: tuple[int | None, ...]) -> int | None:
    """Number of positions of a tensor of a shape without batch axis, None where it is unknown."""
    known = [side for side in shape[:-1] if side is not None]
    return prod(known) if len(known) == len(shape) - 1 else None


def per_channel(argument: Any) -> bool:
    """Whether an argument of a call is an array with more than one channel."""
    if isinstance(argument, keras.KerasTensor) or not hasattr(argument, "shape"):
        return False
    return len(argument.shape) > 0 and argument.shape[-1] != 1
