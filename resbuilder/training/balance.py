"""Classes of different sizes: weights that make up for them, and an accuracy that does not hide it.

Where nine of ten images are of one class, a network that knows no other is right on 90 % of them;
its balanced accuracy is that of chance.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class BalancedAccuracy(keras.metrics.Metric):
    """The mean over the classes of the share of their images that are recognized.

    Classes without images do not count.

    Args:
        classes: Number of classes.
        name: Of the metric.
        dtype: Of its variables.

    Example:
        >>> metric = BalancedAccuracy(2)
        >>> metric.update_state([0, 0, 0, 1], [[1.0, 0], [1, 0], [0, 1], [0, 1]])
        >>> round(float(metric.result()), 4)  # 2 of 3, and 1 of 1
        0.8333
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self._classes = classes
        self._hits, self._images = (
            self.add_variable((classes,), "zeros", name=what) for what in ("hits", "images")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: labels (n,), and logits or probabilities (n, classes)."""
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        hit = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == labels
        here = ops.one_hot(labels, self._classes, dtype=self.dtype)
        self._images.assign_add(ops.sum(here, axis=0))
        self._hits.assign_add(ops.sum(here * ops.cast(hit, self.dtype)[:, None], axis=0))

    def result(self):
        """Return the balanced accuracy of what was counted, in 0..1."""
        images = ops.convert_to_tensor(self._images)
        there = ops.cast(images > 0, self.dtype)
        return ops.divide_no_nan(
            ops.sum(ops.divide_no_nan(ops.convert_to_tensor(self._hits), images)), ops.sum(there)
        )


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return a weight for each class: inversely proportional to its images, 1 on average over them.

    Args:
        labels: Of the training images (n,).
        classes: Number of classes; those without images get 0.

    Returns:
        Weights (classes,), float32.
    """
    counts = np.bincount(labels, minlength=classes)
    present = (counts > 0).sum()
    weights = len(labels) / (present * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0).astype(np.float32)
