"""The data of chapter 3, scaled as in PyTorch's tutorial."""

from __future__ import annotations

from functools import cache

import numpy as np

from experiments.phs.loop import Data
from resbuilder.datasets import Split, load


@cache
def parts(
    dataset: str,
    data_dir: str | None,
    limit: int | None,
    trained: str = "nine tenths",
    pixels: str = "-1 to 1",
) -> dict[str, Data]:
    """Return training, validation and test images, without augmentation.

    Args:
        dataset: ``"fashion_mnist"`` or ``"cifar10"``.
        data_dir: Folder with ``NAME.npz``, or None; see ``resbuilder.datasets.load``.
        limit: Number of training images to use, or None for all.
        trained: ``"nine tenths"`` or ``"all"``. With all, the validation images are trained, too,
            so only the test accuracy means something.
        pixels: How pixels are scaled: ``"-1 to 1"``, ``"0 to 1"``, or ``"standardized"`` to mean 0
            and standard deviation 1 of each channel.

    Returns:
        The three parts. A tenth of the training images is held out for validation, the same for
        every seed of a training.
    """
    data = load(dataset, data_dir)
    divisor, shift = _scaling(data.x_train, pixels)
    split = Split.stratified(data.y_train, fraction=0.1, seed=0)

    def scaled(x, y, indices=slice(None)):
        images = x[indices].astype(np.float32) / divisor - shift
        return Data(images, y[indices].astype(np.int32))

    train = split.train if trained == "nine tenths" else np.arange(len(data.y_train))
    return {
        "train": scaled(data.x_train, data.y_train, train[:limit]),
        "validation": scaled(data.x_train, data.y_train, split.validation),
        "test": scaled(data.x_test, data.y_test),
    }


def _scaling(x: np.ndarray, pixels: str) -> tuple:
    """Return the divisor of the pixels, and what is subtracted from the quotient."""
    if pixels == "standardized":
        mean, deviation = (f(x, (0, 1, 2), dtype=np.float32) for f in (np.mean, np.std))
        return deviation, mean / deviation
    return {"-1 to 1": (127.5, 1), "0 to 1": (255, 0)}[pixels]
