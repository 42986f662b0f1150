"""The Cox loss as Keras takes it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.common.strategy import gather
from survival.checks import number
from survival.losses.partial_likelihood import TIES, negative_log_partial_likelihood
from survival.losses.targets import check_one_per_row, check_shape, checked_values, with_weight

NORMALIZATIONS = ("events", "batch", "sum")
MEAN_PENALTY_FORMS = ("squared_mean", "squared_sum")


@keras.saving.register_keras_serializable("survival")
class CoxPHLoss(keras.losses.Loss):
    r"""Negative log partial likelihood of Cox' proportional hazards (thesis eqs. 7.3 and 7.6).

    With the model's output h, a log-hazard (a higher one means an earlier event), weights w
    (1 unless given) and risk sets R_i = {j: entry_j < time_i ≤ time_j, same stratum} of the batch
    B, where without entries all rows are at risk from the start,

        L = (1/N) Σ_{i ∈ B} w_i δ_i (log Σ_{j ∈ R_i} w_j exp(h_j) − h_i) + P.

    The risk sets are those of the batch: of the whole batch, also where
    ``tf.distribute.MirroredStrategy`` divides it among replicas. A batch without events has
    L = P. Sums are exact to float32 however far the log-hazards are spread.

    The **normalization** N decides what a learning rate and ``mean_penalty`` mean:

    ============  =============  ============================================================
    ``"events"``  Σ w_i δ_i      the mean over events: the loss hardly depends on how many rows
                                 are censored, and every batch counts the same
    ``"batch"``   Σ w_i          the mean over rows: a batch counts by its share of events, and
                                 the loss is smaller by that share
    ``"sum"``     1              the sum over events, as eq. (7.3) is printed
    ============  =============  ============================================================

    The **mean penalty** P keeps the predictions of all batches in one range; the partial
    likelihood alone does not change when a constant is added to all h. It is not divided by N:

    ==================  ===================  ================================================
    ``"squared_mean"``  λ · (mean h)²        what the thesis' text asks for
    ``"squared_sum"``   λ/Σw · (Σ w h)²      eq. (7.6) as printed: the number of rows times more
    ==================  ===================  ================================================

    The sample weights of ``fit`` become the weights w, and a row of weight 0 is as if it was not
    there: fill batches up with such rows where all must have one size.

    Args:
        ties: ``"breslow"`` or ``"efron"``, see
            :func:`survival.losses.negative_log_partial_likelihood`.
        normalization: ``"events"``, ``"batch"`` or ``"sum"``.
        mean_penalty: λ ≥ 0.
        mean_penalty_form: ``"squared_mean"`` or ``"squared_sum"``.
        name: Name of the loss.

    Call arguments:
        y_true: Shape (n, 2) to (n, 5): time, event (1 = happened), stratum, weight, entry. Where
            only an entry is needed, give stratum 0 and weight 1. Arrays are checked; tensors, as
            in ``fit``, are not: see :func:`survival.losses.check_targets`.
        y_pred: Log-hazards, shape (n,) or (n, 1).
        sample_weight: Shape (n,) or (n, 1).

    Raises:
        ValueError: An unknown option, a negative λ, or shapes that do not fit.

    Example:
        >>> import numpy as np
        >>> from survival import vgg_survival_model
        >>> images = np.random.default_rng(0).uniform(0, 255, size=(8, 16, 24, 3))
        >>> months, died = [5, 12, 12, 20, 31, 40, 52, 60], [1, 1, 1, 0, 1, 0, 0, 1]
        >>> model = vgg_survival_model((16, 24, 3), width=0.03)
        >>> model.compile("adam", CoxPHLoss(ties="efron", mean_penalty=1e-3))
        >>> history = model.fit(images, np.stack([months, died], axis=1), verbose=0)
    """

    def __init__(
        self,
        ties: str = "breslow",
        normalization: str = "events",
        mean_penalty: float = 0.0,
        mean_penalty_form: str = "squared_mean",
        name: str = "cox_ph_loss",
    ):
        for option, value, allowed in (
            ("ties", ties, TIES),
            ("normalization", normalization, NORMALIZATIONS),
            ("mean_penalty_form", mean_penalty_form, MEAN_PENALTY_FORMS),
        ):
            if value not in allowed:
                raise ValueError(
                    f"{option} must be one of {', '.join(map(repr, allowed))}, not {value!r}"
                )
        mean_penalty = number("mean_penalty", mean_penalty, "a number >= 0", lambda v: v >= 0)
        # Times would lose their order in half precision, so it does not follow floatx down.
        double = keras.config.floatx() == "float64"
        super().__init__(name=name, dtype="float64" if double else "float32")
        self.ties = ties
        self.normalization = normalization
        self.mean_penalty = mean_penalty
        self.mean_penalty_form = mean_penalty_form

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of a batch, a scalar."""
        if isinstance(y_true, np.ndarray | list | tuple):
            y_true = checked_values(y_true)
        y_true = ops.cast(y_true, self.dtype)
        if sample_weight is not None:
            # Weights change the risk sets; Keras would multiply the finished terms by them.
            y_true = with_weight(y_true, sample_weight)
        y_pred = ops.cast(y_pred, self.dtype)
        check_shape(y_true.shape)
        check_one_per_row("y_pred", y_pred.shape, y_true.shape)
        return super().__call__(gather(y_true), gather(ops.reshape(y_pred, (-1, 1))))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of the batch, once for each row.

        A vector, because Keras divides the mean of a vector by the number of replicas, which all
        have the same rows here, but not a scalar.
        """
        log_hazard = ops.reshape(y_pred, (-1,))
        weight = y_true[:, 3] if y_true.shape[1] > 3 else ops.ones_like(log_hazard)
        loss = negative_log_partial_likelihood(y_true, log_hazard, ties=self.ties)
        rows = ops.sum(weight)
        if self.normalization == "events":
            loss = _ratio(loss, ops.sum(weight * y_true[:, 1]))
        elif self.normalization == "batch":
            loss = _ratio(loss, rows)
        if self.mean_penalty:
            present = ops.where(weight > 0, log_hazard, 0.0)
            square = ops.square(_ratio(ops.sum(weight * present), rows))
            if self.mean_penalty_form == "squared_sum":
                square = square * rows
            loss = loss + self.mean_penalty * square
        return ops.broadcast_to(loss, ops.shape(log_hazard))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            "ties": self.ties,
            "normalization": self.normalization,
            "mean_penalty": self.mean_penalty,
            "mean_penalty_form": self.mean_penalty_form,
            "name": self.name,
        }


def _ratio(numerator, denominator):
    """Their ratio, and the numerator (which is 0 then) where the denominator is 0."""
    return numerator / ops.where(denominator > 0, denominator, 1.0)
