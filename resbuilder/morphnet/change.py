"""How much the outputs of a model change when the model is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True)
class OutputChange:
    """Change of the outputs on given images.

    Attributes:
        largest: Largest absolute change of an output.
        relative: Root mean square of the change, divided by the outputs' standard deviation.
        same_class: Share of the images with the same largest output; None without classes.
        images: Number of images.
    """

    largest: float
    relative: float
    same_class: float | None
    images: int

    def __str__(self) -> str:
        text = (
            f"outputs on {self.images} images changed by {self.relative:.2%} of their spread "
            f"(RMS), by {self.largest:.3g} at most"
        )
        return text if self.same_class is None else f"{text}; same class for {self.same_class:.1%}"


def output_change(before: keras.Model, after: keras.Model, images: Any) -> OutputChange:
    """Compare the outputs of two models on the same images, in inference mode.

    Args:
        before: A model.
        after: Another model with the same inputs and outputs.
        images: A batch for the models' input, or a list with a batch for each input.

    Returns:
        The :class:`OutputChange`, over all outputs together.
    """
    return change_of(_outputs(before, images), _outputs(after, images))


def change_of(old: list[np.ndarray], new: list[np.ndarray]) -> OutputChange:
    """Return the change between outputs on the same images, float arrays (images, …)."""
    changes = np.concatenate([(b - a).ravel() for a, b in zip(old, new, strict=True)])
    spread = np.sqrt(np.mean(np.concatenate([(a - a.mean(axis=0)).ravel() ** 2 for a in old])))
    relative = float(np.sqrt(np.mean(changes**2)))
    same = None
    if len(old) == 1 and old[0].ndim == 2 and old[0].shape[1] > 1:
        same = float(np.mean(old[0].argmax(axis=1) == new[0].argmax(axis=1)))
    return OutputChange(
        float(np.abs(changes).max()),
        relative / float(spread) if spread > 0 else relative,
        same,
        len(old[0]),
    )


def _outputs(model: keras.Model, images: Any) -> list[np.ndarray]:
    outputs = model.predict(images, verbose=0)
    return [ops.convert_to_numpy(o).astype("float64") for o in keras.tree.flatten(outputs)]
