"""The task loss of single steps, from what Keras tells a callback."""

from __future__ import annotations

import math

import keras
from keras import ops


class TaskLoss:
    """Recovers the loss of the steps between two calls of a callback.

    ``logs["loss"]`` is the mean over the epoch so far and includes regularization terms. The
    terms of the weights' regularizers are taken off; they change slowly, so they are computed
    again only every ``refresh`` steps. Activity regularizers cannot be told apart: watch a metric
    instead (``monitor``).

    Args:
        monitor: Name in Keras' logs: ``"loss"``, or a metric that is a mean over samples.
        refresh: Steps after which the regularization terms are computed again.
    """

    def __init__(self, monitor: str, refresh: int):
        self.monitor = monitor
        self.refresh = refresh
        self._terms, self._age = 0.0, math.inf
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets the epoch's running mean, which starts anew."""
        self._seen, self._sum = 0, 0.0

    def read(
        self, callback: keras.callbacks.Callback, batch: int, logs: dict | None
    ) -> tuple[float, int]:
        """Mean task loss since the last call, and how many steps that were.

        Args:
            callback: The Keras callback that asks; its model has the regularizers.
            batch: Index of the last step of the epoch, from 0.
            logs: What Keras passed.

        Returns:
            Loss and number of steps. A last batch of an epoch that is smaller is drawn towards
            the epoch's mean, in proportion, because Keras' running mean weights by samples.

        Raises:
            ValueError: If the logs have no such name.
        """
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"monitor={self.monitor!r} is not in what Keras logs for a step: "
                f"{', '.join(sorted(logs)) or 'nothing'}"
            )
        # The last of several steps_per_execution is said to reach beyond the epoch's end.
        steps_of_epoch = (callback.params or {}).get("steps")
        seen = min(batch + 1, steps_of_epoch) if steps_of_epoch else batch + 1
        total = float(logs[self.monitor]) * seen
        steps = seen - self._seen
        mean = (total - self._sum) / steps
        self._seen, self._sum = seen, total
        return mean - self.regularization(callback, steps), steps

    def regularization(self, callback: keras.callbacks.Callback, steps: int = 0) -> float:
        """Sum of the weights' regularization terms that ``monitor`` includes."""
        if self.monitor != "loss":
            return 0.0
        self._age += steps
        if self._age >= self.refresh:
            regularized = [
                v for v in callback.model.trainable_variables if getattr(v, "regularizer", None)
            ]
            self._terms = sum(float(ops.convert_to_numpy(v.regularizer(v))) for v in regularized)
            # Without regularizers there is nothing to compute again.
            self._age = 0 if regularized else -math.inf
        return self._terms
