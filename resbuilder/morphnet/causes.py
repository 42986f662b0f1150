"""Why the outputs of a model moved when channels were removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.change import change_of
from resbuilder.morphnet.forward import forward
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.removal import emitted


@dataclass(frozen=True)
class Causes:
    """How much each cause alone moves the outputs: root mean squares, over their spread.

    Attributes:
        channels: Removed channels that vary, or have another mean than the weights say.
        borders: Padding, which is zero and not the constant; and rounding.
        layer: Name of the layer whose removed inputs vary most.
        varied: By how much, over what the inputs that stay emit (root mean squares).
    """

    channels: float
    borders: float
    layer: str
    varied: float

    def __str__(self) -> str:
        text = (
            f"removed channels that are not constant move them by {self.channels:.1%}, borders "
            f"where padding is not the constant by {self.borders:.1%}"
        )
        if self.channels < self.borders:
            return f"{text}. Train the smaller model on for an epoch"
        return (
            f"{text}. Those that {self.layer!r} reads vary most, by {self.varied:.2g} of its other "
            "inputs. Train longer, lower the threshold, or train the smaller model on"
        )


def causes(graph: ChannelGraph, dead: np.ndarray, small: keras.Model, images: Any) -> Causes:
    """Find out why outputs moved.

    Between the model and the smaller one lies a third: the old one, whose removed channels emit the
    constants that stand for them. It differs from the old one by the channels alone, and from the
    new one by the borders alone.

    Args:
        graph: The model before.
        dead: All channels that went, bool array (size,).
        small: The model without them.
        images: A batch for the models' input.
    """
    means = emitted(graph, dead)
    varied = {"": 0.0}

    def hold(n: int, read: list[Any]) -> list[Any]:
        step = graph.steps[n]
        if not step.makes_channels or not dead[graph.in_ids(step)].any():
            return read
        gone, constant, x = dead[graph.in_ids(step)], means[step.inputs[0]], _array(read[0])
        stays = np.sqrt(np.square(x[..., ~gone]).mean()) if not gone.all() else 0.0
        if stays:
            change = np.sqrt(np.square(x[..., gone] - constant[gone]).mean())
            varied[step.name] = float(change / stays)
        return [ops.convert_to_tensor(np.where(gone, constant, x), read[0].dtype)]

    before, held = (
        [_array(y).astype("float64") for y in forward(graph, images, visit)]
        for visit in (None, hold)
    )
    after = [_array(y).astype("float64") for y in forward(ChannelGraph(small), images)]
    layer = max(varied, key=lambda name: varied[name])
    return Causes(
        change_of(before, held).relative, change_of(held, after).relative, layer, varied[layer]
    )


def _array(x: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(x, "float32"))
