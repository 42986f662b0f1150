"""What ``--overwrite`` may replace: what this program has made, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from resbuilder.common.files import is_temporary

# A file tells what it is by its beginning; no header of a table that we write is longer.
_HEAD = 65_536


def check_place(
    path: Path,
    overwrite: bool,
    foreign: Callable[[Path], str | None],
    instead: str = "give --overwrite to replace it, or another --out",
) -> bool:
    """Check that a file or folder may be written, before the work for it begins.

    Args:
        path: What will be written.
        overwrite: Whether something that this program has made may be replaced.
        foreign: Says of what is there why this program cannot have made it; None if it has.
        instead: What the user may do about something that is there and is not to be replaced.

    Returns:
        Whether something is there, which is to be replaced.

    Raises:
        ValueError: If something is there that may not be replaced, or its folder is missing.
    """
    # Before the folder: a link that leads nowhere does not exist, and is there.
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise ValueError(f"{path} already exists; {instead}")
        if (reason := foreign(path)) is not None:
            raise ValueError(
                f"{path} is not overwritten: {reason}; move it away, or choose another place"
            )
        return True
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")
    return False


def strangers(folder: Path, known: Iterable[str]) -> str | None:
    """Say which files in a folder are not among those that this program writes there.

    Args:
        folder: It exists. Its empty sub-folders, and what a killed process left, do not count.
        known: Patterns of the files' paths below it, such as ``"models/*.keras"``. A ``*`` also
            stands for several folders.
    """
    patterns = list(known)
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and not is_temporary(path)
    )
    others = [name for name in found if not any(fnmatchcase(name, p) for p in patterns)]
    if not others:
        return None
    more = len(others) - 3
    further = f" and {more} more file{'s' * (more > 1)}" if more > 0 else ""
    return f"it holds {', '.join(others[:3])}{further}, which this program did not put there"


def begins_otherwise(path: Path, *beginnings: str) -> str | None:
    """Say that a file does not begin as those do that this program writes.

    Args:
        path: The file.
        *beginnings: It must begin with one of these, or be empty.
    """
    if path.is_symlink() or not path.is_file():
        return "it is not a file"
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head or any(head.startswith(text.encode()) for text in beginnings):
        return None
    return "this program did not write it"
