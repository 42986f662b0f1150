"""Walk through a user's folders, also where they are links."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn


def walk(
    folder: Path, onerror: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder like ``os.walk``, but through links to folders, and into each folder once.

    A folder that is also behind a link has its own path, because links come last.

    Args:
        folder: The folder.
        onerror: Called for a folder that cannot be read; by default it is skipped.
    """
    entered, waiting = set[str](), [str(folder)]
    while waiting:
        for here, folders, names in os.walk(waiting.pop(0), onerror=onerror):
            if (real := os.path.realpath(here)) in entered:
                folders.clear()
                continue
            entered.add(real)
            yield here, folders, names
            paths = (os.path.join(here, inside) for inside in folders)
            waiting += sorted(path for path in paths if os.path.islink(path))


def is_broken(path: Path) -> bool:
    """Return whether a path is a link to nothing, as left by DVC or git-annex before a fetch."""
    return path.is_symlink() and not path.exists()


def missing_target(link: Path) -> str:
    """Return half a sentence that says where a broken link leads and what to do about it."""
    return f"a link to {os.readlink(link)}, which does not exist; fetch it, or remove the link"


def unreadable(error: OSError) -> NoReturn:
    """Raise the error of a folder that cannot be read, which a walk would skip otherwise."""
    raise error
