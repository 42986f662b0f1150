"""Batches of training images as Keras takes them."""

from __future__ import annotations

import keras
import numpy as np

from survival.augmentation import AUGMENTATIONS
from survival.batches import EventBalancedBatches, padded
from survival.images import CanvasImages
from survival.training.settings import TrainingSettings


class TrainingBatches(keras.utils.PyDataset):
    """Batches of images, targets and weights, another division in every epoch.

    Every batch has the same size, so that a step is compiled only once; rows that fill one up
    have weight 0. What an epoch looks like depends on the seed and its number alone.

    Args:
        images: Images of the slides.
        targets: Time, event and perhaps stratum, shape (n, 2) or (n, 3).
        patients: Whose slide it is, shape (n,).
        settings: Size and kind of the batches, augmentation, seed.
        epoch: Number of the first epoch.
    """

    def __init__(self, images: CanvasImages, targets, patients, settings: TrainingSettings, epoch):
        super().__init__(workers=images.threads)
        # Without events all rows are alike, and are dealt out at random.
        events = targets[:, 1] if settings.batches != "shuffled" else np.zeros(len(targets))
        self._batches = EventBalancedBatches(
            events,
            settings.batch_size,
            patients if settings.batches == "patients" else None,
            settings.seed,
        )
        self._images, self._targets, self._settings = images, targets, settings
        self._epoch = epoch
        self._rows = self._batches.epoch(epoch)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int):
        rows, weight = padded(self._rows[number], self._settings.batch_size)
        images = np.stack([self._augmented(row) for row in rows])
        return images, self._targets[rows], weight

    def on_epoch_end(self):
        """On to the next epoch; Keras calls it also when a fit starts."""
        self._epoch += 1
        self._rows = self._batches.epoch(self._epoch)

    def _augmented(self, row: int) -> np.ndarray:
        image = self._images[row]
        for name in self._settings.augment:
            place = list(AUGMENTATIONS).index(name)
            random = np.random.default_rng((self._settings.seed, self._epoch, row, place))
            image = AUGMENTATIONS[name](image, random)
        return image
