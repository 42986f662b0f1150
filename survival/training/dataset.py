"""Batches of training images as a Keras dataset."""

from __future__ import annotations

import math

import keras
import numpy as np

from survival.augmentation import AUGMENTATIONS
from survival.batches import EventBalancedBatches, padded
from survival.images import BATCH, CanvasImages
from survival.training.settings import TrainingSettings


class TrainingBatches(keras.utils.PyDataset):
    """Batches of images, targets and weights, with a different division in every epoch.

    All batches have the same size, so that a step is compiled only once; rows that pad a batch have
    weight 0. An epoch depends only on the seed and its number.

    If a batch would have too many bytes, it contains numbers instead of images, namely the row and
    the epoch of each image. :meth:`load` then makes the images of a part of the batch.

    Args:
        images: Images of the slides.
        targets: Targets as returned by :meth:`survival.cohort.Cohort.y_true`.
        patients: Patient of each slide, shape (n,).
        settings: Size and kind of the batches, augmentation, seed.
        devices: Number of devices among which a batch is divided; its size becomes a multiple.

    Attributes:
        of_numbers: Whether batches consist of numbers.
        rows: Rows of each batch: those of the largest, with padding for the devices.
    """

    def __init__(
        self,
        images: CanvasImages,
        targets: np.ndarray,
        patients: np.ndarray,
        settings: TrainingSettings,
        devices: int = 1,
    ):
        super().__init__(workers=images.threads, max_queue_size=2)
        # If no row counts as an event, all rows are dealt out at random.
        events = targets[:, 1] if settings.batches != "shuffled" else np.zeros(len(targets))
        self._batches = EventBalancedBatches(
            events,
            settings.batch_size,
            patients if settings.batches == "patients" else None,
            settings.seed,
        )
        # Batches of all epochs have the same sizes, in another order.
        largest = max(map(len, self._batches.epoch(0)))
        self.rows = -(-largest // devices) * devices
        self.of_numbers = self.rows * math.prod(images.shape) > BATCH
        self._images, self._settings = images, settings
        # The type of the loss, on every backend.
        self._targets = targets.astype("float32")
        self.start_at(0)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int):
        rows, weight = padded(self._rows[number], self.rows)
        x = np.stack([rows, np.full_like(rows, self._epoch)], axis=1).astype("int32")
        return x if self.of_numbers else self.load(x), self._targets[rows], weight

    def load(self, numbers: np.ndarray) -> np.ndarray:
        """Return the images of rows and epochs (k, 2), as uint8 of shape (k, height, width, 3)."""
        return np.stack([self._augmented(row, epoch) for row, epoch in numbers.tolist()])

    def start_at(self, epoch: int) -> None:
        """Switch to the batches of an epoch."""
        self._epoch = epoch
        self._rows = self._batches.epoch(epoch)

    def on_epoch_end(self) -> None:
        """Switch to the next epoch. Keras also calls this when a fit starts."""
        self.start_at(self._epoch + 1)

    def _augmented(self, row: int, epoch: int) -> np.ndarray:
        image = self._images[row]
        for name in self._settings.augment:
            place = list(AUGMENTATIONS).index(name)
            random = np.random.default_rng((self._settings.seed, epoch, row, place))
            image = AUGMENTATIONS[name](image, random)
        return image
