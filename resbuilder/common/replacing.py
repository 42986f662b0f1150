"""Checks that ``--overwrite`` replaces only what this program has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from resbuilder.common.files import is_temporary
from resbuilder.common.words import count

# Bytes at the beginning of a file that tell what it is; no header that we write is longer.
_HEAD = 65_536


def check_place(
    path: Path,
    overwrite: bool,
    foreign: Callable[[Path], str | None],
    instead: str = "give --overwrite to replace it, or another --out",
) -> bool:
    """Check that a file or folder may be written, before the work for it begins.

    Args:
        path: The file or folder to write.
        overwrite: Whether an existing file or folder may be replaced, if this program wrote it.
        foreign: Returns the reason why this program cannot have written what is at a path, or
            None if it has.
        instead: What the user can do if the path exists and must not be replaced.

    Returns:
        Whether the path exists and is to be replaced.

    Raises:
        ValueError: If the path exists and may not be replaced, or its folder does not exist.
    """
    # Checked before the folder. A dangling link does not "exist", but it is in the way.
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise ValueError(f"{path} already exists; {instead}")
        if (reason := foreign(path)) is not None:
            raise ValueError(
                f"{path} is not overwritten: {reason}; move it away, or choose another path"
            )
        return True
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")
    return False


def check_table(path: Path, overwrite: bool, columns: Iterable[str]) -> None:
    """Check that a CSV file whose header begins with some columns may be written to a path.

    Raises:
        ValueError: If there is something that may not be replaced, or the folder does not exist.
    """
    instead = "give --overwrite to replace it, or another file"
    check_place(path, overwrite, lambda p: begins_otherwise(p, ",".join(columns)), instead)


def strangers(folder: Path, known: Iterable[str]) -> str | None:
    """Return a phrase that names the files in a folder that this program does not write there.

    Args:
        folder: An existing folder. Empty sub-folders and temporary files are ignored.
        known: Patterns of the paths that this program writes, relative to the folder, such as
            ``"models/*.keras"``. A ``*`` also matches several folders.

    Returns:
        The phrase, or None if there are no such files.
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
    further = f" and {count(more, 'more file')}" if more > 0 else ""
    return f"it holds {', '.join(others[:3])}{further}, which this program did not put there"


def begins_otherwise(path: Path, *beginnings: str) -> str | None:
    """Return a phrase that says that this program cannot have written a file.

    Args:
        path: The file.
        *beginnings: What files of this program begin with. An empty file is accepted, too.

    Returns:
        The phrase, or None if the file begins with one of these.
    """
    if path.is_symlink() or not path.is_file():
        return "it is not a file"
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head or any(head.startswith(text.encode()) for text in beginnings):
        return None
    return "this program did not write it"
