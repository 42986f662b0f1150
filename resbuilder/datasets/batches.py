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
        self._order = (-1, np.arange(0))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns pixels (batch, height, width, channels) as float32 and their labels (batch,)."""
        epoch = self.epoch
        part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        chosen = self.indices[self._ordered(epoch)[part]]
        if self.augment is None:
            pixels = self.x[chosen]
        else:
            pixels = _moved(self.x, chosen, self._moves(self.augment, epoch, batch, len(chosen)))
        return pixels.astype(np.float32), self.y[chosen]

    def on_epoch_end(self):
        """Moves on to the next epoch."""
        self.epoch += 1

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns all that is random in this epoch.

        Returns:
            The order: int64 (n,), places in `indices`. And how each image of that order is moved:
            int64 (n, 3), pixels down, pixels to the right, and 1 if it is then mirrored.
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
        """Returns the places in `indices` in the order of one epoch."""
        if not self.shuffle:
            return np.arange(len(self.indices))
        # One tuple, replaced at once: Keras reads ahead in a thread of its own.
        kept, order = self._order
        if kept != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.indices))
            self._order = (epoch, order)
        return order

    def _moves(self, augment: Augmentation, epoch: int, batch: int, size: int) -> np.ndarray:
        """Draws how the images of a batch are moved, as in :meth:`draw`."""
        rng = np.random.default_rng([self.seed, epoch, batch])
        far = [round(augment.shift * side) for side in self.x.shape[1:3]]
        moves = np.empty((size, 3), np.int64)
        moves[:, :2] = rng.integers(np.negative(far), far, (size, 2), endpoint=True)
        moves[:, 2] = (rng.random(size) < 0.5) & augment.flip
        return moves


def _moved(x: np.ndarray, chosen: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Gathers shifted and flipped images with one lookup of flat pixel numbers."""
    _, height, width, channels = x.shape
    down, right, flip = moves.T[:, :, None]
    rows = np.clip(np.arange(height) - down, 0, height - 1) + height * chosen[:, None]
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    columns = np.where(flip, columns[:, ::-1], columns)
    flat = rows[:, :, None] * width + columns[:, None, :]
    return np.take(x.reshape(-1, channels), flat, axis=0)
