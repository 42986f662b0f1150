"""Imbalanced classes: weights that compensate for them, and the balanced accuracy.

If nine of ten images belong to one class, a network that always predicts this class has an accuracy
of 90 %, but its balanced accuracy is that of chance.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class BalancedAccuracy(keras.metrics.Metric):
    """The mean recall: (1/K) Σ_k hits_k / images_k over the K classes that have images.

    Args:
        classes: Number of classes.
        name: Name of the metric.
        dtype: Data type of its variables.

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
        """Return the balanced accuracy of all batches counted so far, in 0..1."""
        images = ops.convert_to_tensor(self._images)
        present = ops.cast(images > 0, self.dtype)
        return ops.divide_no_nan(
            ops.sum(ops.divide_no_nan(ops.convert_to_tensor(self._hits), images)), ops.sum(present)
        )


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return a weight for each class, inversely proportional to its number of images.

    The weight of class k is n / (K · images_k), with n images and K classes that have images. So
    the weights average 1 over the images.

    Args:
        labels: Labels of the training images, shape (n,).
        classes: Number of classes; those without images get 0.

    Returns:
        Weights of shape (classes,), float32.
    """
    counts = np.bincount(labels, minlength=classes)
    present = (counts > 0).sum()
    weights = len(labels) / (present * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0).astype(np.float32)
