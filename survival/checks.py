"""Checks of the numbers that a user passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real


def number(name: str, value: object, allowed: str, fits: Callable[[float], bool]) -> float:
    """Return a value as a float.

    Args:
        name: What the error calls it.
        value: Any real number, also of NumPy.
        allowed: Which numbers fit, in words for the error.
        fits: Whether a finite number fits.

    Raises:
        ValueError: If it is not a finite number, or does not fit.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        converted = float(value)
        if math.isfinite(converted) and fits(converted):
            return converted
    raise ValueError(f"{name} must be {allowed}, not {value!r}")


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return a value as an int.

    Args:
        name: What the error calls it.
        value: Any whole number, also of NumPy.
        least: The smallest that is allowed.

    Raises:
        ValueError: If it is not a whole number, or smaller.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        converted = int(value)
        if converted >= least:
            return converted
    raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")
