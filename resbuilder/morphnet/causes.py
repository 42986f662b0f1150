"""Why removing channels changed the outputs of a model."""

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
    """Change of the outputs due to each cause alone: root mean square, relative to their spread.

    Attributes:
        channels: Change due to removed channels that vary, or whose mean differs from the
            estimate.
        borders: Change due to padding with zeros instead of the constants, and to rounding.
        layer: Name of the layer whose removed inputs vary most.
        varied: Root mean square of their variation, relative to that layer's other inputs.
    """

    channels: float
    borders: float
    layer: str
    varied: float

    def __str__(self) -> str:
        text = (
            f"removed channels that are not constant change them by {self.channels:.1%}, borders "
            f"where padding differs from the constant by {self.borders:.1%}"
        )
        if self.channels < self.borders:
            return f"{text}. Fine-tune the smaller model for an epoch"
        return (
            f"{text}. The removed inputs of {self.layer!r} vary most, by {self.varied:.2g} of its "
            "other inputs. Train longer, lower the threshold, or fine-tune the smaller model"
        )


def causes(graph: ChannelGraph, dead: np.ndarray, small: keras.Model, images: Any) -> Causes:
    """Measure how much each cause contributes to the change of the outputs.

    The measurement uses an intermediate model: the old one with its removed channels replaced by
    the constants that stand for them. It differs from the old model only in these channels, and
    from the smaller one only at borders.

    Args:
        graph: The old model.
        dead: All removed channels, bool array (size,).
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
