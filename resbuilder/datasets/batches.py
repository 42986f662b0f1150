"""Batches for `fit`, evaluate and predict: numpy only, the same on every backend, deterministic."""

from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """Random shift and horizontal flip (thesis sec. 6.1).

    Attributes:
        shift: Largest shift in both directions as a share of the side; whole pixels, up to
            round(shift * side). Uncovered pixels repeat the nearest edge.
        flip: Whether every second image, by chance, is mirrored left to right.
    """

    shift: float = 0.1
    flip: bool = True

    def __post_init__(self):
        """Checks the range."""
        if not 0 <= self.shift < 1:
            raise ValueError(f"shift must be a share of the side in [0, 1), not {self.shift}")


class Batches(keras.utils.PyDataset):
    """Raw float32 pixels and labels, batch by batch.

    What batch b of epoch e holds depends on (seed, e, b) alone, not on threads or on earlier
    batches. Call `fit(..., shuffle=False)`: Keras would otherwise deal the finished batches in an
    order of its own (from Python's `random`); the images are shuffled here.

    Keras also reports the end of an epoch when a `fit` or `evaluate` starts. A `fit` of n epochs on
    new batches therefore runs through the epochs 1 to n, on every backend, and a second one goes on
    behind them; set `epoch` to start elsewhere.

    Args:
        x: Images (n, height, width, channels).
        y: Labels (n,).
        indices: The images to use, for example `split.train`; all by default.
        batch_size: Images per batch; the last batch of an epoch holds the rest.
        shuffle: Whether every epoch goes through the images in a new order.
        augment: Random changes of the images; none by default.
        seed: Non-negative seed of order and augmentation.

    Attributes:
        epoch: Which epoch the next batches belong to, from 0; counts up when one ends.

    Raises:
        ValueError: If there are no images, a setting is out of range, or `x` and `y` differ in
            length.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        indices: np.ndarray | None = None,
        batch_size: int = 128,
        shuffle: bool = False,
        augment: Augmentation | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if x.ndim != 4 or len(x) != len(y):
            raise ValueError(
                f"expected images (n, height, width, channels) and n labels, received {x.shape} "
                f"and {len(y)} labels"
            )
        if batch_size < 1 or seed < 0:
            raise ValueError(
                f"batch_size must be at least 1 and seed at least 0, not {batch_size} and {seed}"
            )
        self.x, self.y = np.ascontiguousarray(x), np.asarray(y)
        self.indices = np.arange(len(x)) if indices is None else np.asarray(indices)
        if len(self.indices) == 0:
            raise ValueError("there are no images to make batches of: indices is empty")
        self.batch_size, self.shuffle = batch_size, shuffle
        self.augment, self.seed = augment, seed
        self.epoch = 0
        self._order = (-1, self.indices)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns pixels (batch, height, width, channels) as float32 and their labels (batch,)."""
        epoch = self.epoch
        chosen = self._ordered(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]
        pixels = self.x[chosen] if self.augment is None else self._augmented(chosen, epoch, batch)
        return pixels.astype(np.float32), self.y[chosen]

    def on_epoch_end(self):
        """Moves on to the next epoch."""
        self.epoch += 1

    def _ordered(self, epoch: int) -> np.ndarray:
        """Returns all indices in the order of one epoch."""
        if not self.shuffle:
            return self.indices
        # One tuple, replaced at once: Keras reads ahead in a thread of its own.
        kept, order = self._order
        if kept != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.indices)
            self._order = (epoch, order)
        return order

    def _augmented(self, chosen: np.ndarray, epoch: int, batch: int) -> np.ndarray:
        """Gathers shifted and flipped images with one lookup of flat pixel numbers."""
        _, height, width, channels = self.x.shape
        rng = np.random.default_rng([self.seed, epoch, batch])
        far = [round(self.augment.shift * side) for side in (height, width)]
        down, right = rng.integers(np.negative(far), far, (len(chosen), 2), endpoint=True).T
        flip = (rng.random(len(chosen)) < 0.5) & self.augment.flip
        rows = np.clip(np.arange(height) - down[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) - right[:, None], 0, width - 1)
        columns = np.where(flip[:, None], columns[:, ::-1], columns)
        rows += chosen[:, None] * height
        flat = rows[:, :, None] * width + columns[:, None, :]
        return np.take(self.x.reshape(-1, channels), flat, axis=0)
