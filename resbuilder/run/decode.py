"""Dataclasses from JSON and back, checked against the types of their fields.

A field may be text, a number, true or false, null, one of these or null, ``tuple[kind, ...]``,
``Mapping[str, kind]``, another dataclass, or a class with ``to_json`` and ``from_json`` of its own.
``Annotated[kind, Check(...)]`` demands more than a type can say.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """What a value must be besides its type.

    Attributes:
        wording: What is expected, as it follows "must be".
        fits: Whether a value of the type is as expected.
    """

    wording: str
    fits: Callable[[Any], bool]


#: A whole number that is not negative.
Whole = Annotated[int, Check("a whole number", lambda value: value >= 0)]


def encode(value: Any) -> Any:
    """Return a value as what ``json.dump`` writes: a dataclass as an object of its fields."""
    if hasattr(value, "to_json"):
        return encode(value.to_json())
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return a dataclass made of an object that was read from JSON.

    Args:
        kind: The dataclass; every field without a default must be given.
        data: Its fields by name. Others are ignored: a later version may have added them.

    Raises:
        ValueError: If a field is missing or is not what its type says.
    """
    values = {}
    declared: type = kind
    optional = _optional(declared)
    for name, hint in _hints(declared).items():
        if name in data:
            values[name] = _read(hint, data[name], name)
        elif name not in optional:
            raise ValueError(f"it lacks {name!r}")
    return kind(**values)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind)}


@functools.cache
def _optional(kind: type) -> set[str]:
    return {f.name for f in fields(kind) if f.default is not MISSING}


def _read(hint: Any, value: Any, name: str, otherwise: str = "") -> Any:
    """Return the value that a hint describes; errors speak of ``name``.

    Args:
        hint: A type of the kinds above.
        value: What JSON has in its place.
        name: Where it stands: the field, and the place in it.
        otherwise: What would be possible too, as it follows the wording.
    """

    def require(fits: bool, wording: str) -> None:
        if not fits:
            got = repr(value)[:60]
            raise ValueError(f"{name!r} must be {wording}{otherwise}, got {got}")

    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _read(arguments[0], value, name, otherwise)
        require(arguments[1].fits(found), arguments[1].wording)
        return found
    if origin in (Union, UnionType):
        (kind,) = (a for a in arguments if a is not NoneType)
        return None if value is None else _read(kind, value, name, " or null")
    if origin is tuple:
        require(isinstance(value, list), "a list")
        kind = arguments[0]
        return tuple(_read(kind, item, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        require(isinstance(value, dict), "an object")
        return {key: _read(arguments[1], item, f"{name}.{key}") for key, item in value.items()}
    if hint is bool:
        require(isinstance(value, bool), "true or false")
    elif hint is str:
        require(isinstance(value, str), "text")
    elif hint is int:
        require(isinstance(value, int) and not isinstance(value, bool), "a whole number")
    elif hint is float:
        require(_is_number(value), "a number")
    elif hasattr(hint, "from_json"):
        require(isinstance(value, dict), "an object")
        return hint.from_json(value)
    else:
        wording = " and ".join(name for name in _hints(hint) if name not in _optional(hint))
        require(isinstance(value, dict), wording)
        try:
            return decode(hint, value)
        except ValueError as error:
            raise ValueError(f"{name!r} must be {wording}{otherwise}: {error}") from None
    return value


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that reports can calculate with."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) < 1e300 and math.isfinite(value)
