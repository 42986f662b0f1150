"""A callback that adds the concordance index of a whole split to the logs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from survival.metrics.arrays import follow_up
from survival.metrics.merging import stratified_c


class ConcordanceIndexCallback(keras.callbacks.Callback):
    """Compute Harrell's C over a whole split at the end of every epoch.

    A Keras metric is a mean over batches. The concordance index of a split is not the mean over
    its batches: in a batch of five, hardly any two patients can be compared. This callback computes
    the log-hazards of the whole split and adds the index to the logs, where ``History``,
    ``EarlyStopping(monitor="val_cindex", mode="max")`` and ``ModelCheckpoint`` find it. Put it
    before them in the list of callbacks.

    Args:
        validation_data: ``(x, y_true)`` arrays, or a dataset that yields batches ``(x, y_true)``
            (``tf.data.Dataset``, ``keras.utils.PyDataset``, a torch ``DataLoader``) and can be
            iterated over repeatedly. ``y_true`` are targets as for the loss: time, event and
            optionally more; with strata, only pairs within one count, as in the loss. The model's
            output is a log-hazard, higher = higher risk. Rows of weight 0, such as those that fill
            up a batch, do not count; other weights are not used.
        name: Name of the index in the logs.
        batch_size: Batch size when predicting from arrays; None for Keras' default.

    Raises:
        ValueError: If ``validation_data`` is something else, such as a generator, which can be
            iterated over only once; or in ``fit``, if no two patients can be compared.

    Example:
        >>> from survival import CoxPHLoss
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> y = np.stack([np.exp(-x[:, 0]), np.ones(64)], axis=1)  # time, event
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("adam", CoxPHLoss())
        >>> cindex = ConcordanceIndexCallback((x[48:], y[48:]))
        >>> stop = keras.callbacks.EarlyStopping("val_cindex", mode="max", patience=5)
        >>> history = model.fit(x[:48], y[:48], callbacks=[cindex, stop], verbose=0)
        >>> "val_cindex" in history.history
        True
    """

    def __init__(
        self,
        validation_data: tuple[Any, ArrayLike] | Iterable | keras.utils.PyDataset,
        name: str = "val_cindex",
        batch_size: int | None = None,
    ):
        super().__init__()
        if isinstance(validation_data, (tuple, list)):
            if len(validation_data) != 2:
                raise ValueError(
                    "validation_data must be (x, y_true) or a dataset of such batches, not a "
                    f"tuple of {len(validation_data)}"
                )
            follow_up(_counted(validation_data[1])[0])
        elif hasattr(validation_data, "shape") or not (
            hasattr(validation_data, "__iter__") or hasattr(validation_data, "__getitem__")
        ):
            raise ValueError(
                "validation_data must be (x, y_true) or a dataset of such batches, not "
                f"{type(validation_data).__name__}"
            )
        elif hasattr(validation_data, "__next__"):
            raise ValueError(
                f"validation_data can be iterated over only once ({type(validation_data).__name__}"
                "): give a dataset that yields its batches again in every epoch"
            )
        self.validation_data = validation_data
        self.name = name
        self.batch_size = batch_size

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Raise an error before the first epoch if targets are wrong, or none can be compared."""
        if isinstance(self.validation_data, (tuple, list)):
            y_true, _ = _counted(self.validation_data[1])
            stratified_c(y_true, np.zeros(len(y_true)))
        else:  # Of a dataset, only the first batch is read.
            batch = next(iter(_batches(self.validation_data)))
            follow_up(_counted(keras.ops.convert_to_numpy(batch[1]))[0])

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add the index to the logs; NaN, with a warning, if the training has diverged."""
        y_true, log_hazard = self._predict()
        if np.isfinite(log_hazard).all():
            value = stratified_c(y_true, log_hazard)
        else:
            value = float("nan")
            warnings.warn(
                f"epoch {epoch + 1}: {self.name} is NaN because log-hazards are not finite: the "
                "training has diverged; a smaller learning rate may help",
                stacklevel=2,
            )
        if logs is not None:
            logs[self.name] = value

    def _predict(self) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(self.validation_data, (tuple, list)):
            x, y_true = self.validation_data
            predicted = self.model.predict(x, batch_size=self.batch_size, verbose=0)
            y_true, counted = _counted(y_true)
            return y_true, np.asarray(predicted, "float64")[counted]
        y_true, predicted = [], []
        for batch in _batches(self.validation_data):
            # In one pass, because a dataset that shuffles has a different order in the next.
            weight = keras.ops.convert_to_numpy(batch[2]) if len(batch) > 2 else None
            rows, counted = _counted(keras.ops.convert_to_numpy(batch[1]), weight)
            y_true.append(rows)
            found = np.asarray(self.model.predict_on_batch(batch[0]), "float64")
            predicted.append(found[counted])
        return np.concatenate(y_true), np.concatenate(predicted)


def _counted(
    y_true: ArrayLike, sample_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of rows whose weights are not 0, with weight 1, and a mask of these rows.

    Args:
        y_true: Targets; the fourth column, if there is one, is a weight.
        sample_weight: Further weights, shape (n,) or (n, 1).
    """
    y_true = np.array(y_true, "float64")
    counted = np.ones(len(y_true), bool)
    if sample_weight is not None:
        counted &= np.reshape(sample_weight, -1) != 0
    if y_true.ndim == 2 and y_true.shape[1] > 3:
        counted &= y_true[:, 3] != 0
        y_true[:, 3] = 1
    return y_true[counted], counted


def _batches(data):
    """Return an iterator over the batches of a dataset; a PyDataset ends only by its length."""
    if isinstance(data, keras.utils.PyDataset):
        return (data[i] for i in range(len(data)))
    return iter(data)
