"""The three parts of a dataset, ready for training: one split and one preprocessing for all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from resbuilder.datasets import Augmentation, Batches, Dataset, Preprocessing, Split, load
from resbuilder.variants import PARTS


@dataclass(frozen=True)
class TrainingData:
    """A dataset with its validation split and the preprocessing fitted to the training part."""

    dataset: Dataset
    split: Split
    preprocessing: Preprocessing

    @classmethod
    def load(cls, config) -> TrainingData:
        """Load what a :class:`resbuilder.TrainConfig` names."""
        dataset = load(config.dataset, config.data_dir, config.image_size, config.ela_quality)
        split = Split.stratified(
            dataset.y_train, config.validation_fraction, config.seed, config.train_limit
        )
        fitted = Preprocessing.fit(dataset.x_train, dataset.scaling, split.train)
        return cls(dataset, split, fitted)

    def fingerprint(self) -> dict:
        """What tells these data from others: sizes, and a hash of the labels and some images."""
        d, digest = self.dataset, hashlib.sha256()
        for array in (d.y_train, d.y_test, d.x_train[::101], d.x_test[::101]):
            digest.update(np.ascontiguousarray(array).tobytes())
        return {
            "train": list(d.x_train.shape),
            "test": list(d.x_test.shape),
            "sha256": digest.hexdigest()[:16],
        }

    def batches(
        self,
        part: str,
        batch_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> Batches:
        """Batches of raw pixels and labels; the training part is shuffled.

        Args:
            part: ``"train"``, ``"validation"`` or ``"test"``.
            batch_size: Images in a batch.
            augmentation: Random shifts and flips, for the training part.
            seed: Seed of shuffling and augmentation.

        Raises:
            ValueError: If there is no such part.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}, got {part!r}")
        d = self.dataset
        if part == "test":
            return Batches(d.x_test, d.y_test, batch_size=batch_size)
        indices = getattr(self.split, part)
        training = part == "train"
        return Batches(
            d.x_train,
            d.y_train,
            indices,
            batch_size,
            shuffle=training,
            augment=augmentation if training else None,
            seed=seed,
        )
