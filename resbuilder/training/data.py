"""A dataset ready for training: its three parts, with one split and one preprocessing."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from resbuilder.datasets import (
    Augmentation,
    Batches,
    DataRecord,
    Dataset,
    Preprocessing,
    Split,
    load,
)
from resbuilder.variants import PARTS

if TYPE_CHECKING:
    from resbuilder.training.resident import ResidentData

# Larger data are not copied to tensors; they may be in a memory-mapped file.
MOST_RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class TrainingData:
    """A dataset with its validation split and the preprocessing fitted to the training part."""

    dataset: Dataset
    split: Split
    preprocessing: Preprocessing

    @classmethod
    def load(cls, config, record: DataRecord | None = None) -> TrainingData:
        """Load the data that a :class:`resbuilder.TrainConfig` names.

        Args:
            config: The settings.
            record: What a run recorded about these data (:func:`resbuilder.run.read_data`). Of a
                folder, exactly the recorded files are loaded, each into its recorded part.

        Raises:
            ValueError: If the data cannot be found or read, or differ from the record, or
                ``validation_fraction`` is given although a folder has validation images.
        """
        dataset = load(
            config.dataset,
            config.data_dir,
            config.image_sides,
            config.ela_quality,
            config.fit,
            record,
        )
        if record is None and config.validation_fraction != type(config).validation_fraction:
            dataset.refuse_fraction()
        split = dataset.split(config.validation_fraction, config.seed, config.train_limit)
        fitted = Preprocessing.fit(dataset.x_train, dataset.scaling, split.train)
        return cls(dataset, split, fitted)

    def record(self) -> DataRecord:
        """Return what a run records about these data."""
        return self.dataset.record(self.split)

    def fingerprint(self) -> dict:
        """Return what identifies these data, as in a :class:`resbuilder.run.DataEvent`."""
        d = self.dataset
        return {
            "train": list(d.x_train.shape),
            "test": list(d.x_test.shape),
            # With one image in 101, as early versions recorded it.
            "sha256": _hash(d.y_train, d.y_test, d.x_train[::101], d.x_test[::101]),
            "images": _hash(d.x_train, d.x_test),
        }

    def batches(
        self,
        part: str,
        batch_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> Batches:
        """Return batches of raw pixels and labels; the training part is shuffled.

        Args:
            part: ``"train"``, ``"validation"`` or ``"test"``.
            batch_size: Images per batch.
            augmentation: Random shifts and flips; applied to the training part only.
            seed: Seed of shuffling and augmentation.

        Raises:
            ValueError: If there is no such part.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}, got {part!r}")
        if part == "train":
            x, y, indices = self._part(part)
            return Batches(x, y, indices, batch_size, True, augmentation, seed)
        return Batches(*self._part(part), batch_size)

    @functools.cached_property
    def resident(self) -> ResidentData | None:
        """All parts as tensors, created once; None if they are too large or without TensorFlow."""
        parts = {part: self._part(part) for part in PARTS}
        images = sum(len(indices) for _, _, indices in parts.values())
        size = images * self.dataset.x_train[0].nbytes
        if keras.backend.backend() != "tensorflow" or size > MOST_RESIDENT_BYTES:
            return None
        from resbuilder.training.resident import ResidentData

        return ResidentData({p: (x[indices], y[indices]) for p, (x, y, indices) in parts.items()})

    def _part(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pixels, labels, and the indices of those that belong to a part."""
        d = self.dataset
        if part == "test":
            return d.x_test, d.y_test, np.arange(len(d.y_test))
        return d.x_train, d.y_train, getattr(self.split, part)


def _hash(*arrays: np.ndarray) -> str:
    """Return a hash of arrays, of which a part at a time is in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        for start in range(0, len(array), 1024):
            digest.update(np.ascontiguousarray(array[start : start + 1024]).tobytes())
    return digest.hexdigest()[:16]
