"""Convert dataclasses to JSON and back, and check values against the types of the fields.

A field may be a string, a number, true or false, one of these or null, ``tuple[kind, ...]``,
``Mapping[str, kind]``, another dataclass, or a class that has ``to_json`` and ``from_json``.
``Annotated[kind, Check(...)]`` adds a condition that a type cannot express.
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
    """A condition on a value in addition to its type.

    Attributes:
        wording: What is expected, as the words after "must be".
        fits: Returns whether a value of the type meets the condition.
    """

    wording: str
    fits: Callable[[Any], bool]


#: A whole number that is not negative.
Whole = Annotated[int, Check("a whole number", lambda value: value >= 0)]


def encode(value: Any) -> Any:
    """Return a value in the form that ``json.dump`` writes; a dataclass becomes a dictionary."""
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
    """Return a dataclass with the values of an object that was read from JSON.

    Args:
        kind: The dataclass; every field without a default is required.
        data: Its fields by name. Others are ignored, as a later version may have added them.

    Raises:
        ValueError: If a field is missing or its value does not have the right type.
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
    """Return a value from JSON as the type that a hint describes.

    Args:
        hint: One of the types above.
        value: The value in JSON.
        name: Name of the field and the position in it, for errors.
        otherwise: Another accepted value, as the words after the wording.
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
    """Return whether a value is a number that is finite and not too large for computations."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) < 1e300 and math.isfinite(value)
