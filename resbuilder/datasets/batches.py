"""Reproducible batches for `fit`, `evaluate` and `predict`, in numpy, equal on every backend."""

from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """Random shift and horizontal flip (thesis sec. 6.1).

    Attributes:
        shift: Largest shift in both directions, as a fraction of the side; whole pixels, up to
            round(shift * side). Uncovered pixels repeat the nearest edge.
        flip: Whether to mirror each image left to right with probability 1/2.
    """

    shift: float = 0.1
    flip: bool = True

    def __post_init__(self):
        """Check the range."""
        if not 0 <= self.shift < 1:
            raise ValueError(f"shift must be a fraction of the side in [0, 1), got {self.shift}")


class Batches(keras.utils.PyDataset):
    """Batches of raw float32 pixels and labels.

    Batch b of epoch e depends only on (seed, e, b), not on threads or on earlier batches. Call
    `fit(..., shuffle=False)`: the images are shuffled here, and Keras would otherwise also shuffle
    the order of the batches, with Python's `random`.

    Keras also signals the end of an epoch when a `fit` or `evaluate` starts. So a `fit` of n epochs
    on new batches uses the epochs 1 to n, on every backend, and a second one continues after them.
    Set `epoch` to start elsewhere.

    Args:
        x: Images (n, height, width, channels).
        y: Labels (n,).
        indices: The images to use, for example `split.train`; all by default.
        batch_size: Images per batch; the last batch of an epoch may be smaller.
        shuffle: Whether to shuffle the images in every epoch.
        augment: Random changes of the images; none by default.
        seed: Non-negative seed of shuffling and augmentation.

    Attributes:
        epoch: The epoch of the next batches, from 0; increased when an epoch ends.

    Raises:
        ValueError: If no images are given, a setting is out of range, or `x` and `y` differ in
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
                f"expected images (n, height, width, channels) and n labels, got {x.shape} "
                f"and {len(y)} labels"
            )
        if batch_size < 1 or seed < 0:
            raise ValueError(
                f"batch_size must be at least 1 and seed at least 0, got {batch_size} and {seed}"
            )
        self.x, self.y = np.ascontiguousarray(x), np.asarray(y)
        self.indices = np.arange(len(x)) if indices is None else np.asarray(indices)
        if len(self.indices) == 0:
            raise ValueError("no images to make batches of: indices is empty")
        self.batch_size, self.shuffle = batch_size, shuffle
        self.augment, self.seed = augment, seed
        self.epoch = 0
        self._order = (-1, np.arange(0))

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (batch, height, width, channels) as float32 and their labels (batch,)."""
        epoch = self.epoch
        part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        chosen = self.indices[self._ordered(epoch)[part]]
        if self.augment is None:
            pixels = self.x[chosen]
        else:
            pixels = _moved(self.x, chosen, self._moves(self.augment, epoch, batch, len(chosen)))
        return pixels.astype(np.float32), self.y[chosen]

    def on_epoch_end(self):
        """Continue with the next epoch."""
        self.epoch += 1

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all random choices of this epoch.

        Returns:
            The order: int64 (n,), positions in `indices`. And the move of each image in this order:
            int64 (n, 3), pixels down, pixels to the right, and 1 if it is mirrored after that.
        """
        epoch, n = self.epoch, len(self.indices)
        order = self._ordered(epoch)
        if self.augment is None:
            return order, np.zeros((n, 3), np.int64)
        sizes = [min(self.batch_size, n - b * self.batch_size) for b in range(len(self))]
        return order, np.concatenate(
            [self._moves(self.augment, epoch, b, s) for b, s in enumerate(sizes)]
        )

    def _ordered(self, epoch: int) -> np.ndarray:
        """Return the positions in `indices` in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.indices))
        # One tuple that is replaced as a whole, because Keras prefetches in another thread.
        kept, order = self._order
        if kept != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.indices))
            self._order = (epoch, order)
        return order

    def _moves(self, augment: Augmentation, epoch: int, batch: int, size: int) -> np.ndarray:
        """Draw the moves of the images of a batch, as in :meth:`draw`."""
        rng = np.random.default_rng([self.seed, epoch, batch])
        most = [round(augment.shift * side) for side in self.x.shape[1:3]]
        moves = np.empty((size, 3), np.int64)
        moves[:, :2] = rng.integers(np.negative(most), most, (size, 2), endpoint=True)
        moves[:, 2] = (rng.random(size) < 0.5) & augment.flip
        return moves


def _moved(x: np.ndarray, chosen: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Gather shifted and mirrored images with one lookup of flat pixel indices.

    Pixel (r, c) of a shifted image is pixel (r − down, c − right) of the original, clipped to the
    image, so that edge pixels are repeated. Mirroring reverses the columns after the shift.
    """
    _, height, width, channels = x.shape
    down, right, flip = moves.T[:, :, None]
    rows = np.clip(np.arange(height) - down, 0, height - 1) + height * chosen[:, None]
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    columns = np.where(flip, columns[:, ::-1], columns)
    flat = rows[:, :, None] * width + columns[:, None, :]
    return np.take(x.reshape(-1, channels), flat, axis=0)
