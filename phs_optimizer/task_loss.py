"""The task loss of single steps, from the logs that Keras passes to a callback."""

from __future__ import annotations

import math

import keras
from keras import ops


class TaskLoss:
    """Recover the task loss of the steps between two calls of a callback.

    ``logs["loss"]`` is the mean M over the k steps of the epoch so far, so the mean over the steps
    k₁ + 1 to k₂ is (k₂ M₂ − k₁ M₁) / (k₂ − k₁). It includes regularization terms. Those of the
    weights' regularizers are subtracted; they change slowly, so they are computed again only
    every ``refresh`` steps. Activity regularizers cannot be separated: if a model has any, watch a
    metric instead (``monitor``).

    Args:
        monitor: Name in Keras' logs: ``"loss"``, or a metric that is a mean over samples.
        refresh: Steps after which the regularization terms are computed again.
    """

    def __init__(self, monitor: str, refresh: int):
        self.monitor = monitor
        self.refresh = refresh
        self.begin_training()
        self.begin_epoch()

    def begin_training(self) -> None:
        """Forget the regularization terms, which may be those of another model."""
        self._terms, self._age = 0.0, math.inf

    def begin_epoch(self) -> None:
        """Reset the running mean, which Keras restarts in each epoch."""
        self._seen, self._sum = 0, 0.0

    def read(
        self, callback: keras.callbacks.Callback, batch: int, logs: dict | None
    ) -> tuple[float, int]:
        """Return the mean task loss since the last call, and the number of steps since then.

        Args:
            callback: The calling Keras callback, whose model has the regularizers.
            batch: Index of the latest step in the epoch, from 0.
            logs: The logs that Keras passed to the callback.

        Returns:
            Loss and number of steps. The loss of a smaller last batch of an epoch is drawn
            towards the epoch's mean in proportion, because Keras' running mean weights by samples.

        Raises:
            ValueError: If ``monitor`` is not in the logs.
        """
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"monitor={self.monitor!r} is not among what Keras logs for a step "
                f"({', '.join(sorted(logs)) or 'nothing'}): give one of these as monitor"
            )
        # With steps_per_execution > 1, Keras' last index may lie beyond the end of the epoch.
        steps_of_epoch = (callback.params or {}).get("steps")
        seen = min(batch + 1, steps_of_epoch) if steps_of_epoch else batch + 1
        total = float(logs[self.monitor]) * seen
        steps = seen - self._seen
        mean = (total - self._sum) / steps
        self._seen, self._sum = seen, total
        return mean - self.regularization(callback, steps), steps

    def regularization(self, callback: keras.callbacks.Callback, steps: int = 0) -> float:
        """Return the sum of the weights' regularization terms that ``monitor`` includes."""
        if self.monitor != "loss":
            return 0.0
        self._age += steps
        if self._age >= self.refresh:
            regularized = [
                v for v in callback.model.trainable_variables if getattr(v, "regularizer", None)
            ]
            self._terms = sum(float(ops.convert_to_numpy(v.regularizer(v))) for v in regularized)
            # Without regularizers, never compute again.
            self._age = 0 if regularized else -math.inf
        return self._terms
