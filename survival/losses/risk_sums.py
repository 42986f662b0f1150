"""Sums over risk sets: running sums of exponentials that neither overflow nor vanish.

Rows are sorted so that those at risk longest come first; the risk set of a row is then all rows
before it in its stratum. A sum of exponentials is kept as a pair (peak, total) that stands for
total·exp(peak), where peak is the largest exponent met so far. Each risk set thus has its own
scale, so its sum keeps full precision however far the log-hazards of other risk sets are away.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Stands for log 0: exp(LOWEST - x) is 0 for every exponent x that occurs, and never NaN. It is the
# same number in float32 and float64.
LOWEST = -(2.0**100)
BLOCK = 32
# Where the number of rows is unknown while the graph is built, so many levels of blocks.
LEVELS = 2
# Up to so many rows, few large operations are faster than many small ones.
FEW = 4096


def risk_sums(peak: Any, total: Any, reach: Any, levels: int = LEVELS) -> tuple[Any, Any]:
    """Running sums Σ total·exp(peak) over each row and the ``reach`` rows before it.

    In blocks: the sums within each block of rows, then by recursion the sums over whole blocks,
    which are carried into the blocks that follow. The work is O(n) for a fixed size of blocks, and
    the result is differentiable in ``total``: peaks are scales, so their gradient is zero.

    Args:
        peak: Exponents, shape (n,), without a gradient. A row that must not count has ``LOWEST``.
        total: Factors ≥ 0, shape (n,).
        reach: How many rows before each row belong to its sum, shape (n,), int32. From one row to
            the next it grows by 1, or falls to 0: a new sum begins there.
        levels: How often to divide into blocks where n is not known.

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
    # The sum carried into a block is the one up to the end of the block before it.
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
    """The sum of two sums."""
    highest = larger(peak, other_peak)
    total = total * ops.exp(peak - highest) + other_total * ops.exp(other_peak - highest)
    return highest, total


def _by_pairs(peak, total, reach):
    """Sums along the last axis, by a table of who is in whose sum."""
    position = ops.arange(ops.shape(peak)[-1], dtype="int32")
    distance = position[:, None] - position
    within = (distance >= 0) & (distance <= reach[..., None])
    exponents = ops.where(within, peak[..., None, :], LOWEST)
    peak = ops.max(exponents, axis=-1)
    return peak, ops.sum(ops.exp(exponents - peak[..., None]) * total[..., None, :], axis=-1)


def _by_doubling(peak, total, reach):
    """Sums along the rows of a table (blocks, BLOCK): over 1, 2, 4, ... entries."""
    reach = ops.minimum(reach, ops.arange(BLOCK, dtype="int32"))
    step = 1
    while step < BLOCK:
        previous = ops.where(reach >= step, ops.roll(peak, step, axis=1), LOWEST)
        peak, total = _add(peak, total, previous, ops.roll(total, step, axis=1))
        step *= 2
    return peak, total


def _in_blocks(x, rows, filler):
    """A table with rows of length BLOCK, filled up at the end."""
    missing = -rows % BLOCK
    if not (isinstance(missing, int) and missing == 0):
        x = ops.concatenate([x, ops.full((missing,), filler, dtype=x.dtype)])
    return ops.reshape(x, (-1, BLOCK))
