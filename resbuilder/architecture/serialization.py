"""Versioned JSON objects to dataclasses, with errors for people who edit such files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from resbuilder.common.files import parse_json


def read_object(data: Mapping | str, format: str, version: int) -> dict:
    """The fields of a JSON object of a format, at most of a version.

    Args:
        data: The object, or its JSON text.
        format: What its ``"format"`` must be.
        version: The newest ``"version"`` that this program reads.

    Raises:
        ValueError: If it is not JSON, of another format, or newer.
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
            f"{format} of version {_short(found)}, but this program reads up to {version}; a newer "
            "one may have written it"
        )
    return {key: value for key, value in data.items() if key not in ("format", "version")}


class Dataclass(Protocol):
    """What every dataclass is to a type checker."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=Dataclass)


def record(kind: type[Record], data: object, **converted: object) -> Record:
    """A dataclass from a JSON object; ``converted`` replaces fields.

    Raises:
        ValueError: If it is not an object, or a key is unknown or missing.
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
    """The list under a key of a JSON object.

    Raises:
        ValueError: If there is none.
    """
    value = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key!r} must be a list, got {_short(value)}")
    return list(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
