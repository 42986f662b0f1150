"""The negative log partial likelihood of Cox' model, on every backend."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from survival.losses import shifted_sums
from survival.losses.interval_sums import entered, interval_sums
from survival.losses.risk_sums import LOWEST, larger, risk_sums
from survival.losses.target_checks import (
    check_one_per_row,
    check_shape,
    checked_values,
    is_array,
    with_weight,
)

TIES = ("breslow", "efron")


def negative_log_partial_likelihood(
    y_true: Any, log_hazard: Any, sample_weight: Any = None, ties: str = "breslow"
) -> Any:
    r"""Return the negative log partial likelihood of Cox' model, summed over events (eq. 7.3).

    With risk sets R_i = {j: entry_j < time_i ≤ time_j, same stratum}, Breslow's form is

        L = Σ_i w_i δ_i (log Σ_{j ∈ R_i} w_j exp(h_j) − h_i).

    Efron's form differs at tied events. Let D be the d rows with an event at one time and R their
    risk set. The r-th of them, r = 0, ..., d − 1, has Σ_R w exp(h) − (r/d) Σ_D w exp(h) inside
    the logarithm, weighted with the mean weight of D. This is also what R's ``coxph`` and
    lifelines compute.

    A row whose entry is 0 is at risk from the start, including time 0. A row with a later entry is
    not yet at risk at the time of its entry, as in ``coxph`` and lifelines.

    The result is exact to float32 for any spread of the log-hazards. Sums are computed in float64
    (:mod:`.shifted_sums`), or scaled by the largest hazard in each risk set (:mod:`.risk_sums`,
    and :mod:`.interval_sums` with entries). The work is O(n log n). Without events the value and
    the gradient are 0.

    Args:
        y_true: Shape (n, 2) to (n, 5): time, event (1 = observed, 0 = censored), stratum, weight,
            entry. Checked if it is an array or a list, but not inside a graph: see
            :func:`survival.losses.check_targets`.
        log_hazard: Log-hazards h, shape (n,) or (n, 1): higher means a higher risk. Half precision
            is converted to float32.
        sample_weight: Shape (n,) or (n, 1). A row of weight 0 has no effect.
        ties: ``"breslow"`` or ``"efron"``.

    Returns:
        A scalar.

    Raises:
        ValueError: A shape does not match, ``ties`` is unknown, or targets are invalid.

    References:
        N. E. Breslow, Biometrics 30 (1974) 89; B. Efron, J. Am. Stat. Assoc. 72 (1977) 557.
    """
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(map(repr, TIES))}, not {ties!r}")
    if is_array(y_true):
        y_true = checked_values(y_true)
    log_hazard = ops.convert_to_tensor(log_hazard)
    double = keras.backend.standardize_dtype(log_hazard.dtype) == "float64"
    dtype = "float64" if double else "float32"
    y_true, log_hazard = ops.cast(y_true, dtype), ops.cast(log_hazard, dtype)
    if sample_weight is not None:
        y_true = with_weight(y_true, sample_weight)
    check_shape(y_true.shape)
    check_one_per_row("log_hazard", log_hazard.shape, y_true.shape)
    return _likelihood(y_true, ops.reshape(log_hazard, (-1,)), ties)


def _likelihood(y_true, log_hazard, ties):
    """Return the sum over events, by the fastest of the exact methods."""

    def by_scan(log_hazard):
        sorted_targets, sorted_hazards = _sorted(y_true, log_hazard)
        return _in_order(sorted_targets, sorted_hazards, ties)

    if log_hazard.shape[0] == 0:
        return ops.sum(log_hazard)  # 0, but connected to the graph
    backend = keras.backend.backend()
    if y_true.shape[1] > 4:
        # JAX has no float64 by default, and Apple's GPUs have none.
        on_apple = backend == "torch" and log_hazard.device.type == "mps"
        if backend != "jax" and not on_apple:
            y_true = ops.cast(y_true, "float64")
        return ops.cast(by_scan(ops.cast(log_hazard, y_true.dtype)), log_hazard.dtype)
    if backend == "tensorflow":
        return shifted_sums.on_tensorflow(y_true, log_hazard, ties, by_scan)
    if backend == "torch":
        loss = shifted_sums.on_torch(y_true, log_hazard, ties)
        return by_scan(log_hazard) if loss is None else loss
    return by_scan(log_hazard)  # JAX


def _sorted(y_true, log_hazard):
    """Return the rows sorted by stratum, and within it from the longest time to the shortest."""
    order = ops.argsort(-y_true[:, 0])
    if y_true.shape[1] > 2:
        # argsort is stable on every backend, so the order by time is kept within a stratum.
        order = ops.take(order, ops.argsort(ops.take(y_true[:, 2], order)))
    return ops.take(y_true, order, axis=0), ops.take(log_hazard, order)


def _in_order(y_true, log_hazard, ties):
    """Return the sum over events of sorted rows, with one scale (peak) per risk set."""
    rows, columns = ops.shape(log_hazard)[0], y_true.shape[1]
    event = multiplicity = y_true[:, 1]
    if columns > 3:
        weight = y_true[:, 3]
        event = event * ops.cast(weight > 0, event.dtype)
        multiplicity = event * weight
        # A row of weight 0 may hold any value, even NaN, which must not affect the others.
        log_hazard = ops.where(weight > 0, log_hazard, LOWEST)
    peak = ops.stop_gradient(log_hazard)
    total = ops.exp(log_hazard - peak)
    if columns > 3:
        total = total * weight

    position = ops.arange(rows, dtype="int32")
    strata = [y_true[:, 2]] if columns > 2 else []
    tied = _Runs([y_true[:, 0], *strata], rows)
    last = tied.last
    if columns > 4:
        # A row is at risk from its first tied row up to the last row with a time > its entry.
        end = entered(y_true[:, 0], y_true[:, 4], y_true[:, 2])
        risk_peak, risk = interval_sums(peak, total, tied.first, end)
    else:
        reach = position - _Runs(strata, rows).first if strata else position
        # The risk set of a row includes all rows tied with it, so it ends at the last of them.
        risk_peak, risk = (ops.take(x, last) for x in risk_sums(peak, total, reach))
    factor = multiplicity
    if ties == "efron":
        leaving = tied.sum(event * total * ops.exp(peak - risk_peak))
        count = tied.sum(event)
        running = ops.cast(ops.cumsum(event), event.dtype)  # float32 on torch, of any dtype
        rank = running - 1 - (ops.take(running, last) - count)
        # risk − (rank/count)·leaving, written as a sum of positive terms so as not to lose digits.
        risk = larger(risk - leaving, 0.0) + (1 - rank / larger(count, 1.0)) * leaving
        if columns > 3:
            factor = event * tied.sum(multiplicity) / larger(count, 1.0)
    below_peak = risk_peak - log_hazard
    if columns > 3 or ties == "efron":
        # Rows without an event have no term; keep infinities out of them and their gradients.
        risk = ops.where(event > 0, risk, 1.0)
        below_peak = ops.where(event > 0, below_peak, 0.0)
    return ops.sum(multiplicity * below_peak + factor * ops.log(risk))


class _Runs:
    """Runs of rows with equal keys, where the rows are sorted by the keys."""

    def __init__(self, keys, rows):
        changes = keys[0][1:] != keys[0][:-1]
        for key in keys[1:]:
            changes = ops.logical_or(changes, key[1:] != key[:-1])
        # The number of the run that each row is in.
        self._run = ops.cumsum(ops.pad(ops.cast(changes, "int32"), ((1, 0),)))
        self._rows = rows
        self._lengths = ops.cast(self._sums(ops.ones_like(self._run)), "int32")
        self._ends = ops.cumsum(self._lengths)

    @property
    def first(self):
        """Position of the first row of each row's run."""
        return ops.take(self._ends - self._lengths, self._run)

    @property
    def last(self):
        """Position of the last row of each row's run."""
        return ops.take(self._ends, self._run) - 1

    def sum(self, values):
        """Return for each row the sum of values over its run."""
        return ops.take(self._sums(values), self._run)

    def _sums(self, values):
        return ops.segment_sum(values, self._run, num_segments=self._rows)
