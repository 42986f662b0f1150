"""The data of chapter 3, scaled as in PyTorch's tutorial."""

from __future__ import annotations

from functools import cache

import numpy as np

from experiments.phs.loop import Data
from resbuilder.datasets import Split, load


@cache
def parts(dataset: str, data_dir: str | None, limit: int | None) -> dict[str, Data]:
    """Return training, validation and test images in [−1, 1], without augmentation.

    Args:
        dataset: ``"fashion_mnist"`` or ``"cifar10"``.
        data_dir: Folder with ``NAME.npz``, or None; see ``resbuilder.datasets.load``.
        limit: Number of training images to use, or None for all.

    Returns:
        The three parts. A tenth of the training images is held out for validation, the same for
        every seed of a training.
    """
    data = load(dataset, data_dir)
    split = Split.stratified(data.y_train, fraction=0.1, seed=0)

    def scaled(x, y, indices=slice(None)):
        return Data(x[indices].astype(np.float32) / 127.5 - 1, y[indices].astype(np.int32))

    return {
        "train": scaled(data.x_train, data.y_train, split.train[:limit]),
        "validation": scaled(data.x_train, data.y_train, split.validation),
        "test": scaled(data.x_test, data.y_test),
    }
