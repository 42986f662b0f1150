"""Conversion of versioned JSON objects to dataclasses, with errors for people who edit files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from resbuilder.common.files import parse_json


def read_object(data: Mapping | str, format: str, version: int) -> dict:
    """Return the fields of a JSON object, without its format and version, which it checks.

    Args:
        data: The object, or its JSON text.
        format: The required value of ``"format"``.
        version: The newest ``"version"`` that this program reads.

    Raises:
        ValueError: If the text is not JSON, or the object has another format or a newer version.
    """
    if isinstance(data, str):
        try:
            data = parse_json(data)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
    if not isinstance(data, Mapping) or data.get("format") != format:
        raise ValueError(f'expected a JSON object with "format": "{format}", got {_short(data)}')
    found = data.get("version")
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= version:
        raise ValueError(
            f"{format} of version {_short(found)} is not supported: this program reads versions 1 "
            f"to {version}; a newer release may have written it"
        )
    return {key: value for key, value in data.items() if key not in ("format", "version")}


class Dataclass(Protocol):
    """Any dataclass, as a type checker sees it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=Dataclass)


def record(kind: type[Record], data: object, **converted: object) -> Record:
    """Return a dataclass made from a JSON object.

    Args:
        kind: The dataclass.
        data: The JSON object.
        **converted: Fields that replace those of ``data``.

    Raises:
        ValueError: If ``data`` is not an object, or a key is unknown or missing.
    """
    name = kind.__name__.lower()
    if not isinstance(data, Mapping):
        raise ValueError(f"{name} must be a JSON object, got {_short(data)}")
    if unknown := sorted(set(data) - set(kind.__dataclass_fields__)):
        raise ValueError(f"unknown keys in {name}: {_short(unknown)}")
    try:
        return kind(**{**data, **converted})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def items(data: object, key: str) -> list:
    """Return the list under a key of a JSON object.

    Raises:
        ValueError: If the value is missing or not a list.
    """
    value = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key!r} must be a list, got {_short(value)}")
    return list(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
