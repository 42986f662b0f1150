"""Format numbers over seeds for tables."""

from collections.abc import Sequence


def spread(numbers: Sequence[float], digits: int) -> str:
    """Return mean ± sample standard deviation; one number alone, or a dash if there is none."""
    import numpy as np

    if not len(numbers):
        return "–"
    deviation = f" ± {np.std(numbers, ddof=1):.{digits}f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.{digits}f}{deviation}"
