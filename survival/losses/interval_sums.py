"""Sums over risk sets with delayed entry, in which row j is at risk for entry_j < t ≤ time_j.

Such a risk set gains rows at one end and loses rows at the other. The difference of two running
sums would lose all digits if most of the hazard is outside the risk set, so nothing is subtracted
here. Rows are sorted by time, and each row is at risk at an interval of positions. A segment tree,
a binary tree over the positions, divides every interval into at most two nodes on each level.

Invariant: position p is in the interval of row j if and only if exactly one of the nodes that
cover p (its ancestors in the tree) is one of the nodes of row j. So with the sum of each node over
its rows, kept as a pair (peak, total) that means total·exp(peak),

    S_p = Σ_{nodes covering p} total·exp(peak).

Work and memory are O(n log n).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from survival.losses.risk_sums import LOWEST, larger

# Levels of the tree if the number of rows is unknown when the graph is built. With this many,
# positions and nodes still fit into int32.
MOST_LEVELS = 29


def interval_sums(peak: Any, total: Any, first: Any, end: Any) -> tuple[Any, Any]:
    """Return for each position p the sum Σ total·exp(peak) over rows with first ≤ p < end.

    The result is differentiable with respect to ``total``. Peaks only set the scale of each sum,
    so their gradient is zero.

    Args:
        peak: Exponents of n rows, shape (n,), without a gradient; ``LOWEST`` for a row that must
            not count.
        total: Factors ≥ 0, shape (n,).
        first: First position of each row's interval, shape (n,), int32, 0 to n − 1.
        end: First position after each row's interval, shape (n,), int32, at most n.

    Returns:
        Peaks and totals of the sums at positions 0 to n − 1, both of shape (n,).
    """
    rows = ops.shape(peak)[0]
    levels = (2 * rows).bit_length() if isinstance(rows, int) else MOST_LEVELS
    widths = ops.convert_to_tensor(2 ** np.arange(levels, dtype="int32")[:, None])
    # The nodes of each interval, per level. The leaves are the nodes rows to 2·rows − 1, and the
    # parent of a node k is k // 2. On each level an interval takes at most a left node, if `low` is
    # a right child, and a right node, if `high - 1` is a left child.
    low, high = (first + rows + widths - 1) // widths, (end + rows) // widths
    not_empty = low < high
    left, right = not_empty & (low % 2 == 1), not_empty & (high % 2 == 1)
    taken = ops.reshape(ops.concatenate([left, right]), (-1,))
    node = ops.reshape(ops.concatenate([low, high - 1]), (-1,))
    node = ops.where(taken, node, 0)  # node 0 covers no position
    exponent = ops.where(taken, ops.tile(peak, 2 * levels), LOWEST)
    factor = ops.where(taken, ops.tile(total, 2 * levels), 0.0)
    peaks = ops.cast(ops.segment_max(exponent, node, num_segments=2 * rows), exponent.dtype)
    peaks = larger(ops.stop_gradient(peaks), LOWEST)
    totals = _sums(factor * ops.exp(exponent - ops.take(peaks, node)), node, 2 * rows)

    covering = (ops.arange(rows, dtype="int32") + rows) // widths
    exponents = ops.take(peaks, covering)
    highest = ops.max(exponents, axis=0)
    return highest, ops.sum(ops.take(totals, covering) * ops.exp(exponents - highest), axis=0)


def _sums(values, segment, segments):
    """Return the sums of values over segments, in the dtype of the values."""
    if keras.backend.backend() == "torch":
        import torch

        # Keras 3.15 would round them to float32.
        zeros = torch.zeros(segments, dtype=values.dtype, device=values.device)
        return zeros.index_add(0, segment, values)
    return ops.segment_sum(values, segment, num_segments=segments)


def entered(time: Any, entry: Any, stratum: Any) -> Any:
    """Return for each row the first position at which the row is not yet at risk.

    Rows are sorted by time, so a row is at risk up to the last position with a time > entry. The
    result counts the rows in earlier strata and those in its stratum with a time > entry.

    Args:
        time: Times, sorted by stratum and within it from the longest to the shortest, shape (n,).
        entry: Time at which observation of each row begins, shape (n,); 0 is before all times.
        stratum: Strata, shape (n,).

    Returns:
        The position of the first row in the stratum with a time ≤ entry, or the position after
        the stratum's last row; shape (n,), int32.
    """
    rows = ops.shape(time)[0]
    entry = ops.where(entry > 0, entry, -1.0)
    # At equal values entries come first: a row that enters at t is not at risk at t.
    order = ops.argsort(ops.concatenate([-entry, -time]))
    order = ops.take(order, ops.argsort(ops.take(ops.tile(stratum, 2), order)))
    times_before = ops.cumsum(ops.cast(order >= rows, "int32"))
    place = ops.argsort(order)[:rows]
    return ops.cast(ops.take(times_before, place), "int32")
