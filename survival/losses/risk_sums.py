"""Sums over risk sets: running sums of exponentials that neither overflow nor underflow.

Rows are sorted from the longest time to the shortest. The risk set of row i is then row i and the
``reach`` rows before it in its stratum:

    S_i = Σ_{j = i − reach_i}^{i} w_j exp(h_j).

Every partial sum is kept as a pair (peak, total) that means total·exp(peak). Invariant: peak is
the largest exponent in the sum. So each risk set has its own scale, and its sum keeps full
precision however different the log-hazards in other risk sets are. Two sums are added by

    (p, a) + (q, b) = (m, a·exp(p − m) + b·exp(q − m)),  m = max(p, q).
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Represents log 0: exp(LOWEST - x) is 0 for every exponent x that occurs, and never NaN. It is
# exactly representable in float32 and float64.
LOWEST = -(2.0**100)
BLOCK = 32
# Levels of blocks if the number of rows is unknown when the graph is built.
LEVELS = 2
# Up to this many rows, few large operations are faster than many small ones.
FEW = 4096


def risk_sums(peak: Any, total: Any, reach: Any, levels: int = LEVELS) -> tuple[Any, Any]:
    """Return running sums Σ total·exp(peak) over each row and the ``reach`` rows before it.

    Rows are divided into blocks. First come the sums within each block; then, by recursion, the
    running sums over whole blocks; then the latter are carried into the blocks that follow. The
    work is O(n) for a fixed block size. The result is differentiable with respect to ``total``.
    Peaks only set the scale of each sum, so their gradient is zero.

    Args:
        peak: Exponents, shape (n,), without a gradient; ``LOWEST`` for a row that must not count.
        total: Factors ≥ 0, shape (n,).
        reach: Number of rows before each row that belong to its sum, shape (n,), int32. From one
            row to the next it grows by 1, or falls to 0 where a new stratum begins.
        levels: Depth of the recursion if n is unknown.

    Returns:
        Peaks and totals of the sums, both of shape (n,).
    """
    rows = ops.shape(peak)[0]
    known = isinstance(rows, int)
    if levels == 0 or (known and rows <= 2 * BLOCK):
        return _by_pairs(peak, total, reach)
    peak, total, reach = (
        _in_blocks(x, rows, filler) for x, filler in ((peak, LOWEST), (total, 0.0), (reach, 0))
    )
    within_blocks = _by_pairs if known and rows <= FEW else _by_doubling
    peak, total = within_blocks(peak, total, reach)
    carried_peak, carried_total = risk_sums(
        peak[:, -1], total[:, -1], reach[:, -1] // BLOCK, levels - 1
    )
    # The sum at the end of the block before. Only rows whose reach extends into it take it.
    carried_peak = ops.roll(carried_peak, 1)[:, None]
    carried_total = ops.roll(carried_total, 1)[:, None]
    carried_peak = ops.where(reach > ops.arange(BLOCK, dtype="int32"), carried_peak, LOWEST)
    peak, total = _add(peak, total, carried_peak, carried_total)
    return ops.reshape(peak, (-1,))[:rows], ops.reshape(total, (-1,))[:rows]


def larger(x: Any, other: Any) -> Any:
    """Return the larger of two values, in the dtype of ``x``.

    ``ops.maximum`` would turn float64 into float32 on torch (Keras 3.15).
    """
    return ops.where(x > other, x, other)


def _add(peak, total, other_peak, other_total):
    """Return the sum of two sums, each a pair (peak, total)."""
    highest = larger(peak, other_peak)
    total = total * ops.exp(peak - highest) + other_total * ops.exp(other_peak - highest)
    return highest, total


def _by_pairs(peak, total, reach):
    """Return the sums along the last axis, by a table of which row is in which sum."""
    position = ops.arange(ops.shape(peak)[-1], dtype="int32")
    distance = position[:, None] - position
    within = (distance >= 0) & (distance <= reach[..., None])
    exponents = ops.where(within, peak[..., None, :], LOWEST)
    peak = ops.max(exponents, axis=-1)
    return peak, ops.sum(ops.exp(exponents - peak[..., None]) * total[..., None, :], axis=-1)


def _by_doubling(peak, total, reach):
    """Return the sums within the rows of a table (blocks, BLOCK), by doubling their length.

    Invariant: before each step, entry i holds the sum over itself and the min(reach_i, step − 1)
    entries before it. Adding the sum of entry i − step, if reach_i ≥ step, doubles the length.
    """
    reach = ops.minimum(reach, ops.arange(BLOCK, dtype="int32"))
    step = 1
    while step < BLOCK:
        previous = ops.where(reach >= step, ops.roll(peak, step, axis=1), LOWEST)
        peak, total = _add(peak, total, previous, ops.roll(total, step, axis=1))
        step *= 2
    return peak, total


def _in_blocks(x, rows, filler):
    """Return a table with rows of length BLOCK, padded at the end with ``filler``."""
    missing = -rows % BLOCK
    if not (isinstance(missing, int) and missing == 0):
        x = ops.concatenate([x, ops.full((missing,), filler, dtype=x.dtype)])
    return ops.reshape(x, (-1, BLOCK))
