"""Atomic writes, folders with a single writer, and strict JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

LOCK = "lock"
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success flush its content and rename it to ``path``.

    The temporary name keeps the suffix, is short however long the name is, and is random, so two
    writers never share a file. If the block raises, the temporary file is removed, and the file
    at ``path`` stays as it was.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        The path to write to.

    Raises:
        OSError: If the file cannot be written; the error names ``path``, not the temporary file.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.filename and Path(os.fsdecode(error.filename)) == part:
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value atomically as JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON strictly: repeated keys and NaN are errors.

    Args:
        text: The text, or its bytes in UTF-8.

    Returns:
        The value.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, repeats a key, or contains NaN.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_temporary(path: Path) -> bool:
    """Return whether a file has a temporary name made by :func:`atomically`."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left behind.

    Args:
        folder: Where to look, without sub-folders; no other process may be writing there.
    """
    if folder.is_dir():
        for path in folder.iterdir():
            if is_temporary(path):
                path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Return whether a folder is missing, or holds nothing but a lock and temporary files."""
    found = folder.iterdir() if folder.exists() else ()
    return all(path.name == LOCK or is_temporary(path) for path in found)


def lock_folder(folder: Path) -> FileLock:
    """Lock a folder for writing until the lock is released or the process ends.

    Args:
        folder: An existing folder. It gets a file :data:`LOCK`, which stays. The operating system
            releases the lock when the process ends, even if it is killed.

    Raises:
        ValueError: If another process is writing there.
    """
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process is writing to {folder}; wait until it ends, or choose another folder"
        ) from None
    return lock


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Create a folder and lock it for writing until the block or the process ends.

    Raises:
        ValueError: If another process is writing there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        yield
    finally:
        lock.release()


def _unique(pairs: list[tuple]) -> dict:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
