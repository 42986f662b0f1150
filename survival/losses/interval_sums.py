"""Sums over the risk sets of delayed entry: rows that are at risk from their entry to their time.

A risk set then loses rows at one end and gains rows at the other. The difference of two running
sums would lose all digits where most hazard lies outside the risk set. Here nothing is subtracted.
Rows are in the order of their times, so each is at risk at an interval of positions. A binary tree
over the positions (a segment tree) divides every interval into at most two nodes on each level.
A node keeps the sum over its rows, as a pair (peak, total) that stands for total·exp(peak), and
the sum at a position is that over the nodes above it. Work and memory are O(n log n).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from survival.losses.risk_sums import LOWEST, larger

# Levels of the tree where the number of rows is unknown while the graph is built: positions and
# nodes stay within int32.
MOST_LEVELS = 29


def interval_sums(peak: Any, total: Any, first: Any, end: Any) -> tuple[Any, Any]:
    """Sums Σ total·exp(peak) over the rows whose interval has each position.

    The result is differentiable in ``total``: peaks are scales, so their gradient is zero.

    Args:
        peak: Exponents of n rows, shape (n,), without a gradient. A row that must not count has
            ``LOWEST``.
        total: Factors ≥ 0, shape (n,).
        first: Where the interval of each row begins, shape (n,), int32, 0 to n − 1.
        end: Where it ends, first position behind it, shape (n,), int32, at most n.

    Returns:
        Peaks and totals of the sums at positions 0 to n − 1, both of shape (n,).
    """
    rows = ops.shape(peak)[0]
    levels = (2 * rows).bit_length() if isinstance(rows, int) else MOST_LEVELS
    widths = ops.convert_to_tensor(2 ** np.arange(levels, dtype="int32")[:, None])
    # The nodes of an interval on each level; leaves are the nodes rows to 2·rows − 1.
    low, high = (first + rows + widths - 1) // widths, (end + rows) // widths
    some = low < high
    left, right = some & (low % 2 == 1), some & (high % 2 == 1)
    taken = ops.reshape(ops.concatenate([left, right]), (-1,))
    node = ops.reshape(ops.concatenate([low, high - 1]), (-1,))
    node = ops.where(taken, node, 0)  # no node, and above no position
    exponent = ops.where(taken, ops.tile(peak, 2 * levels), LOWEST)
    factor = ops.where(taken, ops.tile(total, 2 * levels), 0.0)
    peaks = ops.cast(ops.segment_max(exponent, node, num_segments=2 * rows), exponent.dtype)
    peaks = larger(ops.stop_gradient(peaks), LOWEST)
    totals = _sums(factor * ops.exp(exponent - ops.take(peaks, node)), node, 2 * rows)

    above = (ops.arange(rows, dtype="int32") + rows) // widths
    exponents = ops.take(peaks, above)
    highest = ops.max(exponents, axis=0)
    return highest, ops.sum(ops.take(totals, above) * ops.exp(exponents - highest), axis=0)


def _sums(values, segment, segments):
    """Sums of values over segments, in the dtype of the values."""
    if keras.backend.backend() == "torch":
        import torch

        # Keras 3.15 would round them to float32.
        zeros = torch.zeros(segments, dtype=values.dtype, device=values.device)
        return zeros.index_add(0, segment, values)
    return ops.segment_sum(values, segment, num_segments=segments)


def entered(time: Any, entry: Any, stratum: Any) -> Any:
    """Return how many rows are behind each row's entry: in an earlier stratum, or later in time.

    Args:
        time: Times, sorted by stratum and within it from the longest to the shortest, shape (n,).
        entry: When each row comes under observation, shape (n,); 0 is before all times.
        stratum: Shape (n,).

    Returns:
        The position of the first row with a time up to the entry, else the stratum's end; shape
        (n,), int32.
    """
    rows = ops.shape(time)[0]
    entry = ops.where(entry > 0, entry, -1.0)
    # At equal values entries come first: who enters at t is not at risk at t.
    order = ops.argsort(ops.concatenate([-entry, -time]))
    order = ops.take(order, ops.argsort(ops.take(ops.tile(stratum, 2), order)))
    times_before = ops.cumsum(ops.cast(order >= rows, "int32"))
    place = ops.argsort(order)[:rows]
    return ops.cast(ops.take(times_before, place), "int32")
