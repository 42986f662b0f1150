"""The task loss of single steps, from the logs that Keras passes to a callback."""

from __future__ import annotations

import math

import keras
from keras import ops

from phs_optimizer.direction import computed_by_metric

# Change of the regularization terms that may be missed, as a fraction of the task loss.
ACCURACY = 0.01


class TaskLoss:
    """Recover the task loss of the steps between two calls of a callback.

    ``logs["loss"]`` is the mean M over the k steps of the epoch so far, so the mean over the steps
    k₁ + 1 to k₂ is (k₂ M₂ − k₁ M₁) / (k₂ − k₁). A result that no metric of the model computes is
    that of the latest step, as a ``train_step`` of the user may return it.

    The loss includes regularization terms. Those of the weights' regularizers are subtracted. They
    are computed again after as many steps as they take, at their latest speed, to change by a
    hundredth of the task loss; in between they are assumed to change linearly. Activity
    regularizers cannot be separated: if a model has any, watch a metric instead (``monitor``).

    Args:
        monitor: Name in Keras' logs: ``"loss"``, a metric that is a mean over samples, or what a
            ``train_step`` returns for each step.
        refresh: Steps after which the regularization terms are computed again at the latest.
    """

    def __init__(self, monitor: str, refresh: int):
        self.monitor = monitor
        self.refresh = refresh
        self.forget_terms()
        self.begin_epoch()

    def forget_terms(self) -> None:
        """Forget the regularization terms, as those of another model or of replaced weights."""
        self._terms, self._slope, self._age, self._interval = 0.0, 0.0, math.inf, 1

    def begin_epoch(self) -> None:
        """Reset the running mean, which Keras restarts in each epoch."""
        self._seen, self._sum = 0, 0.0
        self._is_mean: bool | None = None  # whether there is one; known after the first step

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
        steps, value = seen - self._seen, float(logs[self.monitor])
        if self._is_mean is None:
            self._is_mean = computed_by_metric(self.monitor, callback.model)
        mean = (value * seen - self._sum) / steps if self._is_mean else value
        self._seen, self._sum = seen, value * seen
        if self.monitor == "loss":
            self._age += steps
            if self._age >= self._interval:
                self._compute_terms(callback.model, mean)
            mean -= self._terms
            if self._slope:
                # At the middle of these steps, each with the weights before it.
                mean -= self._slope * (self._age - (steps + 1) / 2)
        return mean, steps

    def _compute_terms(self, model: keras.Model, mean: float) -> None:
        """Compute the sum of the weights' regularization terms, and choose when to do so again."""
        regularized = [v for v in model.trainable_variables if getattr(v, "regularizer", None)]
        if not regularized:
            self._age = -math.inf  # never again
            return
        terms = sum(ops.cast(v.regularizer(v), "float32") for v in regularized)
        before, self._terms = self._terms, float(ops.convert_to_numpy(terms))
        if math.isfinite(self._age):
            self._slope = (self._terms - before) / self._age
            allowed = ACCURACY * abs(mean - self._terms)
            most = min(2 * self._interval, self.refresh)
            slow = abs(self._slope) * most <= allowed or not math.isfinite(allowed)
            self._interval = most if slow else max(1, int(allowed / abs(self._slope)))
        self._age = 0
