"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a path; on success its content is flushed and renamed to it.

    The temporary name keeps the path's suffix. When the block raises, nothing is left of it, and
    what lay at the path before still lies there.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: Path, value) -> None:
    """Write a value as JSON, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def parse_json(text: str | bytes):
    """Read JSON strictly: what would be lost or is no JSON is an error.

    Args:
        text: The text, or its bytes in UTF-8.

    Returns:
        The value.

    Raises:
        ValueError: If it is no JSON, is nested too deeply, names a key twice, or holds NaN.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple]) -> dict:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return table


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no number in JSON")
