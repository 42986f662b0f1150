"""The Cox loss as a Keras loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from resbuilder.common.strategy import gather
from survival.checks import number
from survival.losses.partial_likelihood import TIES, negative_log_partial_likelihood
from survival.losses.target_checks import (
    check_one_per_row,
    check_shape,
    checked_values,
    is_array,
    with_weight,
)

NORMALIZATIONS = ("events", "batch", "sum")
MEAN_PENALTY_FORMS = ("squared_mean", "squared_sum")


@keras.saving.register_keras_serializable("survival")
class CoxPHLoss(keras.losses.Loss):
    r"""Negative log partial likelihood of Cox' proportional hazards (thesis eqs. 7.3 and 7.6).

    The model's output h is a log-hazard: a higher value means a higher risk and an earlier event.
    For a batch B with event indicators δ and weights w (1 unless given),

        L = (1/N) Σ_{i ∈ B} w_i δ_i (log Σ_{j ∈ R_i} w_j exp(h_j) − h_i) + P.

    The risk set of row i is R_i = {j ∈ B: entry_j < time_i ≤ time_j, same stratum}. Without
    entries all rows are at risk from the start. If ``tf.distribute.MirroredStrategy`` divides a
    batch among replicas, the risk sets are still those of the whole batch. A batch without events
    has L = P. Sums are exact to float32 for any spread of the log-hazards.

    The **normalization** N determines the scale of the learning rate and of ``mean_penalty``:

    ============  =============  ============================================================
    ``"events"``  Σ w_i δ_i      mean over events: the loss hardly depends on how many rows are
                                 censored, and every batch counts the same
    ``"batch"``   Σ w_i          mean over rows: a batch counts in proportion to its fraction of
                                 events, and the loss is smaller by that factor
    ``"sum"``     1              sum over events, as eq. (7.3) is printed
    ============  =============  ============================================================

    The **mean penalty** P keeps the log-hazards of all batches in one range. Without it the loss
    does not change if a constant is added to all h. P is not divided by N:

    ==================  ===================  ================================================
    ``"squared_mean"``  λ · (mean h)²        as described in the thesis' text
    ``"squared_sum"``   λ/Σw · (Σ w h)²      eq. (7.6) as printed; larger by the factor Σw
    ==================  ===================  ================================================

    Here mean h = Σ w h / Σ w. The sample weights of ``fit`` become the weights w. A row of weight
    0 has no effect, so batches can be padded to one size with such rows.

    Args:
        ties: ``"breslow"`` or ``"efron"``, see
            :func:`survival.losses.negative_log_partial_likelihood`.
        normalization: ``"events"``, ``"batch"`` or ``"sum"``.
        mean_penalty: λ ≥ 0.
        mean_penalty_form: ``"squared_mean"`` or ``"squared_sum"``.
        name: Name of the loss.

    Call arguments:
        y_true: Shape (n, 2) to (n, 5): time, event (1 = observed, 0 = censored), stratum, weight,
            entry. To give only an entry, set stratum 0 and weight 1. Arrays are checked; tensors,
            as in ``fit``, are not: see :func:`survival.losses.check_targets`.
        y_pred: Log-hazards, shape (n,) or (n, 1).
        sample_weight: Shape (n,) or (n, 1).

    Raises:
        ValueError: An option is unknown, λ is negative, or shapes do not match.

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
        # In half precision distinct times would become equal, so use at least float32.
        double = keras.config.floatx() == "float64"
        super().__init__(name=name, dtype="float64" if double else "float32")
        self.ties = ties
        self.normalization = normalization
        self.mean_penalty = mean_penalty
        self.mean_penalty_form = mean_penalty_form

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss of a batch, a scalar."""
        if is_array(y_true):
            y_true = checked_values(y_true)
        y_true = ops.cast(y_true, self.dtype)
        if sample_weight is not None:
            # Weights enter the risk sets. Keras would only multiply the rows' losses by them.
            y_true = with_weight(y_true, sample_weight)
        y_pred = ops.cast(y_pred, self.dtype)
        check_shape(y_true.shape)
        check_one_per_row("y_pred", y_pred.shape, y_true.shape)
        return super().__call__(gather(y_true), gather(ops.reshape(y_pred, (-1, 1))))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of the batch, repeated for each row.

        Every replica computes the loss of the whole batch, so it must be divided by the number of
        replicas. Keras does that for a vector of losses, but not for a scalar.
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
        """Return the arguments of the constructor."""
        return {
            "ties": self.ties,
            "normalization": self.normalization,
            "mean_penalty": self.mean_penalty,
            "mean_penalty_form": self.mean_penalty_form,
            "name": self.name,
        }


def _ratio(numerator, denominator):
    """Return numerator / denominator; if the denominator is 0, the numerator, which is then 0."""
    return numerator / ops.where(denominator > 0, denominator, 1.0)
