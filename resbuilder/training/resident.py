"""Data in tensors on the model's device, from which a training step gathers its own images.

For a small network, an input pipeline that delivers batches takes longer than the training step.
Here a step receives only the begin and end of its batch, and itself gathers, shifts and mirrors
the pixels.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import keras
import numpy as np

from resbuilder.datasets import Batches
from resbuilder.training.regularized import RegularizedModel

if TYPE_CHECKING:
    import tensorflow as tf


class ResidentData:
    """All parts of a dataset in tensors, created once for all trainings.

    Args:
        parts: Pixels (n, height, width, channels) and labels (n,) of each part by name, the
            training part first.
    """

    def __init__(self, parts: dict[str, tuple[np.ndarray, np.ndarray]]):
        import tensorflow as tf

        pixels, labels = zip(*parts.values(), strict=True)
        edges = np.cumsum([0, *map(len, labels)])
        self._spans = dict(zip(parts, itertools.pairwise(edges), strict=True))
        self._pixels = tf.constant(np.concatenate(pixels))
        self._labels = tf.constant(np.concatenate(labels))
        # The random choices for the current epoch; see Batches.draw.
        self._order = tf.Variable(np.arange(edges[1]), trainable=False)
        self._moves = tf.Variable(np.zeros((edges[1], 3), np.int64), trainable=False)

    def spans(self, part: str, batch_size: int) -> tf.data.Dataset:
        """Return the begin and end of each batch of a part, as int64 tensors of shape (2,)."""
        import tensorflow as tf

        start, stop = self._spans[part]
        starts = np.arange(start, stop, batch_size)
        return tf.data.Dataset.from_tensor_slices(
            np.stack([starts, np.minimum(starts + batch_size, stop)], axis=1)
        )

    def shuffled(self, batches: Batches) -> keras.callbacks.Callback:
        """Return the callback with which ``fit`` gets the same batches as from ``batches``."""
        return _Draw(batches, self._order, self._moves)

    def training_batch(self, span: tf.Tensor, moved: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a batch of the training part in this epoch's order, augmented if ``moved``."""
        import tensorflow as tf

        chosen = self._order[span[0] : span[1]]
        if moved:
            pixels = _moved(self._pixels, chosen, self._moves[span[0] : span[1]])
        else:
            pixels = tf.gather(self._pixels, chosen)
        return tf.cast(pixels, tf.float32), tf.gather(self._labels, chosen)

    def batch(self, span: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a batch in the stored order, without augmentation."""
        import tensorflow as tf

        pixels = self._pixels[span[0] : span[1]]
        return tf.cast(pixels, tf.float32), self._labels[span[0] : span[1]]


class ResidentModel(RegularizedModel):
    """A :class:`RegularizedModel` whose steps also accept spans of resident data.

    ``fit`` and ``evaluate`` still accept everything else that Keras accepts.

    Args:
        network: As for :class:`RegularizedModel`.
        terms: As for :class:`RegularizedModel`.
        data: The data to which the spans refer.
        augmented: Whether training images are shifted and flipped.
        options: Further arguments of :class:`RegularizedModel`.
    """

    def __init__(self, network, terms, data: ResidentData, augmented: bool, **options):
        super().__init__(network, terms, **options)
        self._data, self._augmented = data, augmented

    def train_step(self, data):
        """Train on a batch, or on a span of the training part."""
        if not isinstance(data, tuple):
            data = self._data.training_batch(data, self._augmented)
        return super().train_step(data)

    def test_step(self, data):
        """Evaluate a batch, or a span."""
        if not isinstance(data, tuple):
            data = self._data.batch(data)
        return super().test_step(data)


class _Draw(keras.callbacks.Callback):
    """Draws the order and the moves of each epoch, with epochs counted as :class:`Batches` does."""

    def __init__(self, batches: Batches, order: tf.Variable, moves: tf.Variable):
        super().__init__()
        self._batches, self._order, self._moves = batches, order, moves

    def on_epoch_begin(self, epoch, logs=None):
        self._batches.epoch = epoch + 1
        order, moves = self._batches.draw()
        self._order.assign(order)
        self._moves.assign(moves)


def _moved(x: tf.Tensor, chosen: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Gather shifted and mirrored images, with the same result as ``Batches``.

    Pixel (r, c) of an image comes from row r − down and column c − right (mirrored: of the reversed
    columns), clipped to the image, so that edge pixels are repeated.
    """
    import tensorflow as tf

    height, width, channels = x.shape[1:]
    down, right, flip = (moves[:, i : i + 1] for i in range(3))
    rows = tf.clip_by_value(tf.range(height, dtype=moves.dtype) - down, 0, height - 1)
    rows += height * chosen[:, None]
    columns = tf.clip_by_value(tf.range(width, dtype=moves.dtype) - right, 0, width - 1)
    columns = tf.where(flip > 0, columns[:, ::-1], columns)
    flat = rows[:, :, None] * width + columns[:, None, :]
    return tf.gather(tf.reshape(x, (-1, channels)), flat)
