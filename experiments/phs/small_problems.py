"""Three small problems that need no download: images, tabular data and text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras

LICENSE = Path(__file__).parents[2] / "LICENSE"
CONTEXT = 8  # characters from which the next one is predicted


class Problem(NamedTuple):
    """A problem and the network for it.

    Attributes:
        parts: Inputs and targets for training, validation and test.
        layers: Makes the layers of the network between its inputs and outputs.
        outputs: Number of classes, or 1 for a number with mean 0 and variance 1.
        batch_size: Samples in a step.
    """

    parts: dict[str, tuple[np.ndarray, np.ndarray]]
    layers: Callable[[], list[keras.layers.Layer]]
    outputs: int
    batch_size: int


def _split(x: np.ndarray, y: np.ndarray, shuffle: bool = True) -> dict:
    """Split the samples into 60, 20 and 20 %, in the same way for every seed of a training."""
    order = np.random.default_rng(0).permutation(len(x)) if shuffle else np.arange(len(x))
    parts = np.split(order, [int(0.6 * len(x)), int(0.8 * len(x))])
    return {
        name: (x[part], y[part])
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }


def digits() -> Problem:
    """Return the problem of 1,797 images of digits, 8×8 pixels, from scikit-learn."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16

    def layers():
        import keras

        return [
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, "relu"),
        ]

    return Problem(_split(x, y.astype("int32")), layers, outputs=10, batch_size=32)


def diabetes() -> Problem:
    """Return 442 patients with ten numbers each, and their disease's progression after a year."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    parts = _split(x, y[:, None])
    (x, y), scaled = parts["train"], {}
    means, deviations = (x.mean(0), y.mean(0)), (x.std(0), y.std(0))
    for name, part in parts.items():
        scaled[name] = tuple(
            ((values - mean) / deviation).astype("float32")
            for values, mean, deviation in zip(part, means, deviations, strict=True)
        )

    def layers():
        import keras

        return [keras.layers.Dense(32, "relu"), keras.layers.Dense(32, "relu")]

    return Problem(scaled, layers, outputs=1, batch_size=16)


def license() -> Problem:
    """Return 11,000 characters of English prose, each with the 8 before it; the end is the test."""
    letters, numbers = np.unique(list(LICENSE.read_text()), return_inverse=True)
    windows = np.lib.stride_tricks.sliding_window_view(numbers.astype("int32"), CONTEXT + 1)

    def layers():
        import keras

        return [
            keras.layers.Embedding(len(letters), 16),
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu"),
        ]

    parts = _split(windows[:, :-1], windows[:, -1], shuffle=False)
    return Problem(parts, layers, outputs=len(letters), batch_size=64)


PROBLEMS = {
    "digits (images, accuracy)": digits,
    "diabetes (regression, variance explained)": diabetes,
    "license (text, accuracy)": license,
}
load = cache(lambda name: PROBLEMS[name]())
