"""The partial likelihood and its gradient by plain running sums in float64.

All log-hazards are shifted by the middle of their range, c = (max h + min h)/2, so that

    S_k = Σ_{time_j ≥ t_k} w_j exp(h_j − c)

is a running sum of positive terms over rows sorted from the longest time to the shortest, with one
entry for each distinct time t_k. Nothing is subtracted, so each sum has a relative error of at most
n times that of float64. exp neither overflows nor underflows as long as max h − min h is at most
:data:`SPREAD`. With E_k = Σ w_i δ_i over the events at t_k, Breslow's form is

    L = Σ_k E_k (log S_k + c) − Σ_i w_i δ_i h_i,
    ∂L/∂h_j = w_j exp(h_j − c) Σ_{k: t_k ≤ time_j} E_k / S_k − w_j δ_j,

where the sum over k is a running sum from the shortest time on. Efron's form divides each E_k
among the d_k events at t_k: for the r-th, S_k is replaced by S_k − (r/d_k) D_k, with
D_k = Σ w exp(h − c) over these events. This is at least D_k/d_k, so the difference loses few
digits.

The method is used for rows of one stratum without entries, on TensorFlow and on torch with tensors
on the CPU. :mod:`.risk_sums` is used in all other cases without entries, and for larger spreads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

# After the shift |h − c| ≤ 650. exp(±650) leaves a factor of 1e25 to the limits of float64, which
# is enough for any sum.
SPREAD = 1300.0


def loss_and_gradient(y: np.ndarray, h: np.ndarray, ties: str) -> tuple[float, np.ndarray] | None:
    """Return the loss and its gradient with respect to the log-hazards.

    Args:
        y: Time, event and, optionally, stratum and weight; shape (n, 2), (n, 3) or (n, 4).
        h: Log-hazards, shape (n,).
        ties: ``"breslow"`` or ``"efron"``.

    Returns:
        The sum over events and its gradient, shape (n,), float64. None if n is 0, if there are
        several strata, or if log-hazards are not finite or too far apart.
    """
    if not len(y) or (y.shape[1] > 2 and (y[:, 2] != y[0, 2]).any()):
        return None
    order = np.argsort(-y[:, 0])  # the order of tied rows does not matter
    time, event, h = y[order, 0], y[order, 1].astype("float64"), h[order].astype("float64")
    weight: np.ndarray | None = None
    if y.shape[1] > 3:
        weight = y[order, 3].astype("float64")
        there = weight > 0
        if not there.any():
            return 0.0, np.zeros(len(y))
        # A row of weight 0 may hold any value, even NaN, which must not affect the others.
        h = np.where(there, h, h[there][0])
        event *= there
    highest, lowest = h.max(), h.min()
    if not highest - lowest <= SPREAD:
        return None
    middle = (highest + lowest) / 2
    hazard = np.exp(h - middle)
    multiplicity = event
    if weight is not None:
        hazard *= weight
        multiplicity = event * weight
    changes = np.flatnonzero(time[1:] != time[:-1])
    ends = np.append(changes, len(time) - 1)
    starts = np.append(0, changes + 1)
    lengths = ends - starts + 1
    sums = np.cumsum(hazard)[ends]
    events = np.add.reduceat(multiplicity, starts)
    if ties == "breslow":
        terms, per_hazard = _logs(events, sums)
        gradient = hazard * np.repeat(_from_the_end(per_hazard), lengths)
    else:
        count = np.add.reduceat(event, starts)
        leaving = np.add.reduceat(event * hazard, starts)
        running = np.cumsum(event)
        rank = running - 1 - np.repeat(running[ends] - count, lengths)
        share = np.where(event > 0, rank, 0) / np.repeat(np.maximum(count, 1), lengths)
        factor = event * np.repeat(events / np.maximum(count, 1), lengths)
        risk = np.repeat(sums, lengths) - share * np.repeat(leaving, lengths)
        terms, per_hazard = _logs(factor, risk)
        all_at_risk = _from_the_end(np.add.reduceat(per_hazard, starts))
        less = np.add.reduceat(per_hazard * share, starts)
        gradient = hazard * (np.repeat(all_at_risk, lengths) - event * np.repeat(less, lengths))
    loss = terms + middle * events.sum() - multiplicity @ h
    result = np.empty(len(y))
    result[order] = gradient - multiplicity
    return float(loss), result


def _logs(events: np.ndarray, sums: np.ndarray) -> tuple[float, np.ndarray]:
    """Return Σ events·log(sums) and the array events/sums; rows without events contribute 0."""
    positive = np.where(events > 0, sums, 1.0)
    return float(events @ np.log(positive)), events / positive


def _from_the_end(values: np.ndarray) -> np.ndarray:
    return np.cumsum(values[::-1])[::-1]


def on_torch(y: Any, h: Any, ties: str) -> Any | None:
    """Return the loss of torch tensors on the CPU; None if this method cannot be used.

    Args:
        y: As for :func:`loss_and_gradient`.
        h: Log-hazards, shape (n,), float32 or float64.
        ties: ``"breslow"`` or ``"efron"``.
    """
    if h.device.type != "cpu" or y.requires_grad:
        return None
    found = loss_and_gradient(y.numpy(), h.detach().numpy(), ties)
    return None if found is None else _torch_function().apply(h, *found)


@cache
def _torch_function() -> Any:
    import torch

    class Known(torch.autograd.Function):
        """A loss whose value and gradient have already been computed."""

        @staticmethod
        def forward(ctx, h, loss, gradient):
            ctx.save_for_backward(torch.from_numpy(gradient).to(h.dtype))
            return h.new_tensor(loss)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, upstream):
            (gradient,) = ctx.saved_tensors
            return gradient * upstream, None, None

    return Known


def on_tensorflow(y: Any, h: Any, ties: str, otherwise: Callable[[Any], Any]) -> Any:
    """Return the loss of TensorFlow tensors, eagerly or in a graph.

    Args:
        y: As for :func:`loss_and_gradient`, float32 or float64.
        h: Log-hazards, shape (n,).
        ties: ``"breslow"`` or ``"efron"``.
        otherwise: Computes the loss of ``h`` if this method cannot be used.
    """
    import tensorflow as tf

    weight = tf.cast(y[:, 3], "float64") if y.shape[1] > 3 else None
    highest, lowest = h, h
    if weight is not None:
        there = weight > 0
        highest, lowest = tf.where(there, h, -np.inf), tf.where(there, h, np.inf)
    lowest = tf.reduce_min(lowest)
    spread = tf.reduce_max(highest) - lowest
    usable = spread <= SPREAD  # False if one of them is NaN
    if y.shape[1] > 2:
        usable &= tf.reduce_all(y[:, 2] == y[:1, 2])
    # Any shift near the middle does, so rounding to float32 is harmless.
    middle = lowest + spread / 2
    if weight is not None:
        # If all rows have weight 0, the range is empty.
        middle = tf.where(spread >= 0, middle, 0.0)
    middle = tf.cast(middle, "float64")

    # The branches return value and gradient together: XLA cannot differentiate a branch of unknown
    # shape.
    @tf.custom_gradient
    def loss(h):
        def shifted():
            value, gradient = _tensorflow_sums(y, tf.cast(h, "float64"), weight, middle, ties)
            return tf.cast(value, h.dtype), tf.cast(gradient, h.dtype)

        def scanned():
            with tf.GradientTape() as tape:
                tape.watch(h)
                value = otherwise(h)
            return value, tf.convert_to_tensor(tape.gradient(value, h))

        if not tf.executing_eagerly():
            # In a graph this branch is one operation, not hundreds that cost time even if skipped.
            not_inlined = {"_noinline": True}
            scanned = tf.function(scanned, autograph=False, experimental_attributes=not_inlined)

        value, gradient = tf.cond(usable, shifted, scanned)
        return value, lambda upstream: upstream * gradient

    return loss(h)


def _tensorflow_sums(y: Any, h: Any, weight: Any, middle: Any, ties: str) -> tuple[Any, Any]:
    """Compute the same as :func:`loss_and_gradient`, with shapes that do not depend on values.

    Rows stay in their order. Each only gets the number k of its distinct time t_k, because moving
    the rows to the order of times and back would take longer.
    """
    import tensorflow as tf

    rows = tf.shape(h)[0]
    time, event, *_ = tf.unstack(y, axis=1)
    event = tf.cast(event, "float64")
    if time.dtype == tf.float32:
        # The bits of non-negative floats, read as integers, have the same order, and integers are
        # sorted faster. abs turns -0 into 0.
        time = tf.bitcast(tf.abs(time), tf.int32)
    # Here argsort would compute the sorted times too, but not return them.
    time, order = tf.math.top_k(time, rows)
    # The last entry, which compares the two ends, is not part of any exclusive sum.
    sorted_run = tf.cumsum(tf.cast(time != tf.roll(time, -1, 0), tf.int32), exclusive=True)
    # Every row occurs once in `order`, so this sum only moves the numbers to their rows.
    run = tf.math.unsorted_segment_sum(sorted_run, order, rows)

    def of_run(values, run=run):
        return tf.math.unsorted_segment_sum(values, run, rows)

    below = h - middle
    if weight is not None:
        there = weight > 0
        below = tf.where(there, below, 0.0)
        event = tf.where(there, event, 0.0)
    hazard, multiplicity = tf.exp(below), event
    if weight is not None:
        hazard, multiplicity = weight * hazard, weight * event
    sums, events = tf.cumsum(of_run(hazard)), of_run(multiplicity)
    if ties == "breslow":
        # Without weights no sum is 0, and numbers that no row has repeat the last sum.
        positive = sums if weight is None else tf.where(events > 0, sums, 1.0)
        terms = tf.reduce_sum(events * tf.math.log(positive))
        gradient = hazard * tf.gather(tf.cumsum(events / positive, reverse=True), run)
    else:
        # Efron's form ranks the events at one time, in any order: that of the sorted rows.
        sorted_event = tf.gather(event, order)
        count, leaving = of_run(event), of_run(event * hazard)
        divisor = tf.maximum(count, 1.0)
        before = tf.gather(tf.cumsum(count, exclusive=True), sorted_run)
        rank = tf.cumsum(sorted_event) - 1 - before
        share = tf.where(sorted_event > 0, rank, 0.0) / tf.gather(divisor, sorted_run)
        factor = sorted_event * tf.gather(events / divisor, sorted_run)
        risk = tf.gather(sums, sorted_run) - share * tf.gather(leaving, sorted_run)
        positive = tf.where(factor > 0, risk, 1.0)
        terms = tf.reduce_sum(factor * tf.math.log(positive))
        per_hazard = factor / positive
        all_at_risk = tf.cumsum(of_run(per_hazard, sorted_run), reverse=True)
        less = of_run(per_hazard * share, sorted_run)
        gradient = hazard * (tf.gather(all_at_risk, run) - event * tf.gather(less, run))
    return terms - tf.reduce_sum(multiplicity * below), gradient - multiplicity
