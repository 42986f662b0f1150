"""Cox' negative log partial likelihood of log-hazards, on every backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from survival.losses import shifted_sums
from survival.losses.interval_sums import entered, interval_sums
from survival.losses.risk_sums import LOWEST, larger, risk_sums
from survival.losses.targets import (
    check_one_per_row,
    check_shape,
    checked_values,
    with_weight,
)

TIES = ("breslow", "efron")


def negative_log_partial_likelihood(
    y_true: Any, log_hazard: Any, sample_weight: Any = None, ties: str = "breslow"
) -> Any:
    r"""Negative log partial likelihood of Cox' model, summed over events (thesis eq. 7.3).

    With risk sets R_i = {j: entry_j < time_i ≤ time_j, same stratum} it is

        Σ_i w_i δ_i (log Σ_{j ∈ R_i} w_j exp(h_j) − h_i),

    the Breslow form. Efron's form takes the d rows that have an event D at the same time out of
    the risk set one after the other, on average: the r-th of them (r = 0, ..., d − 1) competes
    with Σ_R w exp(h) − (r/d) Σ_D w exp(h). With weights it counts as often as these rows do on
    average, as in R's ``coxph`` and in lifelines. Without ties both are the same.

    A row whose entry is 0 is at risk from the start, at time 0 too. One that enters later is not
    yet at risk at the time of its entry, as in ``coxph`` and lifelines.

    Exact to float32 for every spread of the log-hazards: sums are taken in float64
    (:mod:`.shifted_sums`), or scaled by the largest hazard in each risk set
    (:mod:`.risk_sums`, and :mod:`.interval_sums` with entries). The work is O(n log n). Without
    events it is 0 with gradient 0.

    Args:
        y_true: Shape (n, 2) to (n, 5): time, event (1 = happened), stratum, weight, entry.
            Checked if it is an array or a list; never inside a graph, see
            :func:`survival.losses.check_targets`.
        log_hazard: Risk h, shape (n,) or (n, 1): a higher one means an earlier event. Half
            precision is computed in float32.
        sample_weight: Shape (n,) or (n, 1). A row of weight 0 is as if it was not there.
        ties: ``"breslow"`` or ``"efron"``.

    Returns:
        A scalar.

    Raises:
        ValueError: A shape that does not fit, an unknown way to treat ties, or bad targets.

    References:
        N. E. Breslow, Biometrics 30 (1974) 89; B. Efron, J. Am. Stat. Assoc. 72 (1977) 557.
    """
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(map(repr, TIES))}, not {ties!r}")
    if isinstance(y_true, np.ndarray | list | tuple):
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
    """The sum over events, in the way that is fastest where it is exact."""

    def by_scan(log_hazard):
        sorted_targets, sorted_hazards = _sorted(y_true, log_hazard)
        return _in_order(sorted_targets, sorted_hazards, ties)

    if log_hazard.shape[0] == 0:
        return ops.sum(log_hazard)  # 0, and connected to what it is made of
    backend = keras.backend.backend()
    if y_true.shape[1] > 4:
        # JAX has no float64 unless it is asked for, and Apple's GPUs have none.
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
    """Rows by stratum, and within it from the longest time to the shortest."""
    order = ops.argsort(-y_true[:, 0])
    if y_true.shape[1] > 2:
        # Stable on every backend, so it keeps the order by time within a stratum.
        order = ops.take(order, ops.argsort(ops.take(y_true[:, 2], order)))
    return ops.take(y_true, order, axis=0), ops.take(log_hazard, order)


def _in_order(y_true, log_hazard, ties):
    """The sum over sorted rows."""
    rows, columns = ops.shape(log_hazard)[0], y_true.shape[1]
    event = multiplicity = y_true[:, 1]
    if columns > 3:
        weight = y_true[:, 3]
        event = event * ops.cast(weight > 0, event.dtype)
        multiplicity = event * weight
        # Whatever stands in a row that does not count, even NaN, it must not reach the others.
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
        # A row is at risk from those tied with it on, up to those whose time is after its entry.
        end = entered(y_true[:, 0], y_true[:, 4], y_true[:, 2])
        risk_peak, risk = interval_sums(peak, total, tied.first, end)
    else:
        reach = position - _Runs(strata, rows).first if strata else position
        # The risk set of a row reaches up to the last of those that are tied with it.
        risk_peak, risk = (ops.take(x, last) for x in risk_sums(peak, total, reach))
    factor = multiplicity
    if ties == "efron":
        leaving = tied.sum(event * total * ops.exp(peak - risk_peak))
        count = tied.sum(event)
        running = ops.cast(ops.cumsum(event), event.dtype)  # float32 on torch, of any dtype
        rank = running - 1 - (ops.take(running, last) - count)
        # Both summands are positive: their difference from `risk` would lose digits.
        risk = larger(risk - leaving, 0.0) + (1 - rank / larger(count, 1.0)) * leaving
        if columns > 3:
            factor = event * tied.sum(multiplicity) / larger(count, 1.0)
    below_peak = risk_peak - log_hazard
    if columns > 3 or ties == "efron":
        # Rows without an event have no term; nothing in them may become infinite.
        risk = ops.where(event > 0, risk, 1.0)
        below_peak = ops.where(event > 0, below_peak, 0.0)
    return ops.sum(multiplicity * below_peak + factor * ops.log(risk))


class _Runs:
    """Runs of rows that are equal in all keys; rows are sorted by them."""

    def __init__(self, keys, rows):
        changes = keys[0][1:] != keys[0][:-1]
        for key in keys[1:]:
            changes = ops.logical_or(changes, key[1:] != key[:-1])
        # Which run each row is in.
        self._run = ops.cumsum(ops.pad(ops.cast(changes, "int32"), ((1, 0),)))
        self._rows = rows
        self._lengths = ops.cast(self._sums(ops.ones_like(self._run)), "int32")
        self._ends = ops.cumsum(self._lengths)

    @property
    def first(self):
        """For each row, where its run begins."""
        return ops.take(self._ends - self._lengths, self._run)

    @property
    def last(self):
        """For each row, where its run ends."""
        return ops.take(self._ends, self._run) - 1

    def sum(self, values):
        """For each row, the sum of values over its run."""
        return ops.take(self._sums(values), self._run)

    def _sums(self, values):
        return ops.segment_sum(values, self._run, num_segments=self._rows)
