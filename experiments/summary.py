"""Format numbers over seeds for tables."""

from collections.abc import Sequence


def spread(numbers: Sequence[float], digits: int, factor: float = 1.0) -> str:
    """Return mean ± sample standard deviation; one number alone, or a dash if there is none.

    Args:
        numbers: One number for each seed.
        digits: Number of decimals.
        factor: Factor on both, such as 100 for fractions in percent.
    """
    import numpy as np

    if not len(numbers):
        return "–"
    more = f" ± {factor * np.std(numbers, ddof=1):.{digits}f}" if len(numbers) > 1 else ""
    return f"{factor * np.mean(numbers):.{digits}f}{more}"


def percent_spread(shares: Sequence[float]) -> str:
    """Return the :func:`spread` of fractions in percent: ``89.12 ± 0.20``."""
    return spread(shares, 2, 100)
