"""Numbers over seeds as tables show them."""

from collections.abc import Sequence


def spread(numbers: Sequence[float], digits: int) -> str:
    """Return mean ± standard deviation (of a sample), the mean alone, or a dash for nothing."""
    import numpy as np

    if not len(numbers):
        return "–"
    deviation = f" ± {np.std(numbers, ddof=1):.{digits}f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.{digits}f}{deviation}"
