"""Checks of numbers passed by the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real


def number(name: str, value: object, allowed: str, fits: Callable[[float], bool]) -> float:
    """Return a value as a float.

    Args:
        name: Name of the value in the error.
        value: Any real number, including NumPy's.
        allowed: Which numbers are allowed, in words for the error.
        fits: Function that tells whether a finite number is allowed.

    Raises:
        ValueError: If the value is not a finite number, or is not allowed.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            converted = float(value)
        except OverflowError:
            converted = math.inf
        if math.isfinite(converted) and fits(converted):
            return converted
    raise ValueError(f"{name} must be {allowed}, not {value!r}")


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return a value as an int.

    Args:
        name: Name of the value in the error.
        value: Any whole number, including NumPy's.
        least: The smallest allowed number.

    Raises:
        ValueError: If the value is not a whole number, or is smaller.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        converted = int(value)
        if converted >= least:
            return converted
    raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")
