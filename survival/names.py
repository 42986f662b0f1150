"""Names of slides and patients: when two of them mean the same."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


def find_slides(wanted: Sequence[str], there: Iterable[str], where: str) -> dict[str, str]:
    """Find the files that slides of a cohort mean.

    A slide means the file of the same path, else the only file of the same name in any
    sub-folder: download clients put each slide into a folder of its own.

    Args:
        wanted: Names of the slides, with ``/`` between folders.
        there: Paths of the files, likewise.
        where: What the errors call the place of the files.

    Returns:
        The file of each slide that has one.

    Raises:
        ValueError: A slide's name occurs in several sub-folders, or two slides mean one file.
    """
    files = set(there)
    by_name: dict[str, list[str]] = defaultdict(list)
    for file in sorted(files):
        by_name[PurePosixPath(file).name].append(file)
    found: dict[str, str] = {}
    for slide in wanted:
        same = [slide] if slide in files else by_name.get(PurePosixPath(slide).name, [])
        if len(same) > 1:
            raise ValueError(
                f"slide {slide!r} occurs {len(same)} times in {where}: {', '.join(same[:5])}; "
                "name it with its folder"
            )
        if same:
            found[slide] = same[0]
    owners: dict[str, str] = {}
    for slide, file in found.items():
        if (owner := owners.setdefault(file, slide)) != slide:
            raise ValueError(f"slides {owner!r} and {slide!r} both mean {file} in {where}")
    return found


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that differ only in case, form of letters, or leading zeros.

    Such as ``P3`` and ``p3``, ``00123`` and ``123``: most likely one patient written in two ways.
    """
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        groups[_plain(name)][name] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", folded)
