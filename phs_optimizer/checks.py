"""Checks of arguments, whose errors say what was received, what is allowed and what to do."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real

import keras


def number(name: str, value: object, allowed: str, fits: Callable[[float], bool]) -> float:
    """Return ``value`` as a float.

    Args:
        name: Name of the argument, for the message.
        value: What the user passed.
        allowed: The allowed values in words, for the message.
        fits: Says whether a finite number is allowed.

    Raises:
        ValueError: If ``value`` is not a finite number, or ``fits`` rejects it.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            converted = float(value)
        except OverflowError:
            converted = math.inf
        if math.isfinite(converted) and fits(converted):
            return converted
    raise ValueError(f"{name} must be {allowed}, not {value!r}")


def count(name: str, value: object, least: int = 1) -> int:
    """Return ``value`` as an int.

    Raises:
        ValueError: If ``value`` is not a whole number, or is smaller than ``least``.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        converted = int(value)
        if converted >= least:
            return converted
    raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check that ``value`` is one of the ``allowed`` strings.

    Raises:
        ValueError: If it is not.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def flag(name: str, value: object, also: tuple[object, ...] = ()) -> None:
    """Check that ``value`` is True or False, or one of ``also``.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, bool) and value not in also:
        expected = " or ".join(map(repr, (True, False, *also)))
        raise ValueError(f"{name} must be {expected}, not {value!r}")


def no_unknown(owner: str, extra: dict, function: Callable, hint: str = "") -> None:
    """Check that no unknown keyword arguments were passed.

    Args:
        owner: Name of the class or function, for the message.
        extra: The unknown keyword arguments.
        function: The function whose parameters the message lists.
        hint: What the message says after them.

    Raises:
        ValueError: If ``extra`` is not empty.
    """
    if extra:
        known = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind is not p.VAR_KEYWORD and p.name != "self"
        ]
        raise ValueError(
            f"{owner} got unknown option{'s' * (len(extra) > 1)} {', '.join(map(repr, extra))}; "
            f"it takes: {', '.join(known)}{hint}"
        )


def initializer(name: str, value: object) -> keras.initializers.Initializer:
    """Return a Keras initializer from a number, an initializer or its name.

    Raises:
        ValueError: If ``value`` is none of these.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        constant = number(name, value, "a finite number", lambda v: True)
        return keras.initializers.Constant(constant)
    try:
        found = keras.initializers.get(value)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, keras.initializers.Initializer):
        raise ValueError(f"{name} must be a number, a Keras initializer or its name, not {value!r}")
    return found
