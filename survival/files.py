"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "lock"
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a path; on success its content is flushed and renamed to it.

    The temporary name keeps the path's suffix, is short however long the path's name is, and is
    another one each time, so that two writers never share a file. When the block raises, nothing
    is left of it, and what lay at the path before still lies there.

    Args:
        path: The file to write; its folder exists.

    Yields:
        The path to write to.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left under the temporary names of :func:`atomically`.

    Args:
        folder: Where to look, not in its sub-folders; nobody else may be writing there.
    """
    if folder.is_dir():
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether a folder is not there, or holds at most what a killed process left."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return all(name == LOCK or _TEMPORARY.fullmatch(name) for name in names)


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make a folder and be the only one to write there, until the block or the process ends.

    Args:
        folder: It gets a file :data:`LOCK`, which stays; the system unlocks it when the process
            ends, however it ends.

    Raises:
        ValueError: If another process is writing there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process is writing to {folder}; wait for its end, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
