"""How a setting is declared and checked: its default, help text, symbol, type and range.

A setting is a field of a dataclass. Its default is in the field, and the rest is in the field's
metadata, from which command lines make their options.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import Field, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

# What a value must be, as error messages say it: "epochs must be positive, got 0".
POSITIVE, NOT_NEGATIVE, FRACTION = "positive", "at least 0", "between 0 and 1"
UNIT, BELOW_ONE, SEED = "in [0, 1]", "in [0, 1)", "in [0, 2³²)"
SIZE = "a side in pixels such as 64, or height and width such as 96x64"
_SIDES = re.compile(r"0*([1-9]\d{0,4})(?:[x×]0*([1-9]\d{0,4}))?")
_RANGES: dict[str, Callable[[Any], bool]] = {
    POSITIVE: lambda v: v > 0,
    NOT_NEGATIVE: lambda v: v >= 0,
    FRACTION: lambda v: 0 < v < 1,
    UNIT: lambda v: 0 <= v <= 1,
    BELOW_ONE: lambda v: 0 <= v < 1,
    SEED: lambda v: 0 <= v < 2**32,
    SIZE: lambda v: sides(v) is not None,
}
_WORDINGS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

Value = TypeVar("Value")


class SettingType(NamedTuple):
    """The type of a setting: a value of ``kind``, or None if it is ``optional``."""

    kind: type[Any]
    optional: bool


class ByMethod(NamedTuple):
    """A default that depends on the method of a search; None where a method has no default."""

    thesis: Any
    race: Any


def option(
    default: Value,
    help: str,
    *,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
    default_text: str | None = None,
    several: bool = False,
) -> Value:
    """Return a field with a default; the other arguments are those of :func:`metadata`."""
    known = metadata(help, symbol, choices, must_be, default_text, several)
    return field(default=default, metadata=known)


def by_method(thesis: Value, race: Value) -> Value:
    """Return a default that depends on the method; its class replaces it by a value."""
    return cast(Value, ByMethod(thesis, race))


def metadata(
    help: str,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
    default_text: str | None = None,
    several: bool = False,
) -> dict[str, Any]:
    """Return what is known of a field.

    Args:
        help: What the setting does.
        symbol: Its symbol in the thesis.
        choices: The values that it may have.
        must_be: One of the conditions in ``_RANGES``.
        default_text: What ``--help`` shows as the default, where the value does not say it.
        several: Whether its text has several values, separated by commas, so that a list of them
            is accepted, too.
    """
    return {
        "help": help,
        "symbol": symbol,
        "choices": choices,
        "must_be": must_be,
        "default_text": default_text,
        "several": several,
    }


def sides(text: str) -> tuple[int, int] | None:
    """Return the height and width that a text such as ``64`` or ``96x64`` gives, or None."""
    found = _SIDES.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[2] or found[1]))


def setting_types(config: type) -> dict[str, SettingType]:
    """Return the types of the settings of a configuration class, by name.

    ``int | None`` and ``Optional[int]`` mean the same.

    Raises:
        TypeError: If a setting is declared as anything other than int, float, bool or str, or one
            of these or None.
    """
    hints, types = get_type_hints(config), {}
    for f in fields(config):
        declared = hints[f.name]
        union = get_origin(declared) in (Union, UnionType)
        kinds = set(get_args(declared) if union else [declared])
        if len(kinds - {NoneType}) != 1 or not kinds - {NoneType} <= _WORDINGS.keys():
            raise TypeError(
                f"{config.__name__}.{f.name} is declared as {declared}; expected int, float, bool "
                "or str, or one of these or None"
            )
        (kind,) = kinds - {NoneType}
        types[f.name] = SettingType(kind, NoneType in kinds)
    return types


def checked(f: Field, declared: SettingType, value: Any) -> Any:
    """Return the value of a field, as a float where an int was given for one.

    Raises:
        ValueError: If it has the wrong type, is out of range, or is not among the choices.
    """
    known, kind = f.metadata, declared.kind
    if value is None and declared.optional:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        # A whole number may be larger than any float.
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is str and isinstance(value, Path):
        value = str(value)
    several = known["several"] and not isinstance(value, bool)
    separator = "x" if known["must_be"] == SIZE else "," if several else None
    if separator is not None and isinstance(value, int | tuple | list):
        value = separator.join(map(str, value if isinstance(value, tuple | list) else (value,)))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{f.name} must be {_WORDINGS[kind]}, got {value!r}")
    if kind is str and not value.strip():
        raise ValueError(f"{f.name} is empty; leave it out or give a value")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{f.name} must be finite, got {value}")
    if known["choices"] and value not in known["choices"]:
        raise ValueError(f"{f.name} must be one of {list(known['choices'])}, got {value!r}")
    if known["must_be"] and not _RANGES[known["must_be"]](value):
        raise ValueError(f"{f.name} must be {known['must_be']}, got {value}")
    return value
