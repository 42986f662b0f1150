"""Checks of what a user passes: what was given, what is allowed, what to do."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real


def number(name: str, value: object, allowed: str, fits: Callable[[float], bool]) -> float:
    """Returns ``value`` as a float.

    Raises:
        ValueError: If it is no finite number, or ``fits`` says no; ``allowed`` is in the message.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        converted = float(value)
        if math.isfinite(converted) and fits(converted):
            return converted
    raise ValueError(f"{name} must be {allowed}, not {value!r}")


def count(name: str, value: object, least: int = 1) -> int:
    """Returns ``value`` as an int.

    Raises:
        ValueError: If it is no whole number, or smaller than ``least``.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        converted = int(value)
        if converted >= least:
            return converted
    raise ValueError(f"{name} must be a whole number >= {least}, not {value!r}")


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Checks that ``value`` is one of the ``allowed`` strings.

    Raises:
        ValueError: If it is not.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def no_unknown(owner: str, extra: dict, function: Callable) -> None:
    """Checks that no keyword was left over.

    Raises:
        ValueError: If one was; the message lists those that ``function`` takes.
    """
    if extra:
        known = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind is not p.VAR_KEYWORD and p.name != "self"
        ]
        raise ValueError(
            f"{owner} got unknown option(s) {', '.join(map(repr, extra))}; "
            f"it takes: {', '.join(known)}"
        )
