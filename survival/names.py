"""Names of slides, patients and columns: find files by name, and names that look alike."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from resbuilder.common.walking import walk
from resbuilder.common.words import composed

# The file with a row for each slide that `survival preprocess` writes next to the images.
MANIFEST = "manifest.csv"
# The key under which an image keeps how it was made, as JSON.
NOTES = "survival"
# Columns with settings of single slides for the preprocessing.
OF_SLIDES = ("downsample", "mpp", "slide_mpp")
# Rows of an evaluation of several datasets, after one row for each dataset.
COMBINED = ("merged", "standardized", "within")
# How similar an unknown column name must be to a known one to be reported as a possible typo.
_SIMILAR = 0.75
# A whole number that a spreadsheet or pandas has made a decimal one.
_WITH_DECIMAL_ZERO = re.compile(r"(\d+)\.0+")
# Also the dashes into which a word processor turns a hyphen.
_SEPARATORS = re.compile(r"[\s_\u2010-\u2015-]+")


def find_slides(wanted: Sequence[str], there: Iterable[str], where: str) -> dict[str, str]:
    """Find the files of a cohort's slides.

    The file of a slide is the one with the same path, or else the only one whose path ends with
    the slide's name. Download clients put each slide into a separate folder, so ``a.svs`` finds
    ``6f1c/a.svs``. A slide with another folder, such as ``B/a.svs``, never finds ``A/a.svs``. If no
    file matches, names are compared in their :func:`~resbuilder.common.words.composed` form.

    Args:
        wanted: Names of the slides, with ``/`` between folders.
        there: Paths of the files, with ``/`` between folders.
        where: Description of the files' location, for errors.

    Returns:
        The file of each slide that has one.

    Raises:
        ValueError: Several files match a slide, or two slides match the same file.
    """
    files = set(there)
    found = {slide: slide for slide in wanted if slide in files}
    for form in (str, composed):
        missing = {s: PurePosixPath(form(s)).parts for s in wanted if s not in found}
        by_ending = _by_ending(files, {len(parts) for parts in missing.values()}, form)
        for slide, parts in missing.items():
            if matches := by_ending.get(parts):
                found[slide] = _the_only(matches, slide, parts, where)
    found = {slide: found[slide] for slide in wanted if slide in found}
    _refuse_two_for_one(found, where)
    return found


def _by_ending(
    files: set[str], lengths: set[int], form: Callable[[str], str]
) -> dict[tuple[str, ...], list[str]]:
    """Return files by the last parts of their paths, for each number of parts.

    This takes one pass over the files, also if many of them have the same name.
    """
    by_ending: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in sorted(files) if lengths - {0} else ():
        parts = PurePosixPath(form(file)).parts
        for length in lengths - {0}:
            if length <= len(parts):
                by_ending[parts[-length:]].append(file)
    return by_ending


def _the_only(matches: list[str], slide: str, parts: tuple[str, ...], where: str) -> str:
    """Return the file whose whole path matches a slide, or else the only one that ends so."""
    matches = [f for f in matches if len(PurePosixPath(f).parts) == len(parts)] or matches
    if len(matches) == 1:
        return matches[0]
    if len({composed(file) for file in matches}) == 1:
        raise ValueError(
            f"slide {slide!r} could be {len(matches)} files in {where} whose names look the same "
            f"but have different characters: {', '.join(map(ascii, matches[:5]))}; rename one"
        )
    raise ValueError(
        f"slide {slide!r} occurs {len(matches)} times in {where}: "
        f"{', '.join(matches[:5])}; add its folder to the name"
    )


def find_files(wanted: Sequence[str], folder: Path) -> dict[str, Path]:
    """Find the files of slides in a folder or its sub-folders, as :func:`find_slides` does.

    Args:
        wanted: Names of the slides, relative to the folder, or absolute paths.
        folder: The folder. It is searched only for slides that are not found at their paths.

    Returns:
        The file of each slide that has one.

    Raises:
        ValueError: As for :func:`find_slides`.
    """
    # isfile is also False for a name that is too long or contains a NUL.
    found = {slide: folder / slide for slide in wanted if os.path.isfile(folder / slide)}
    if missing := [slide for slide in wanted if slide not in found]:
        files = (Path(here, name) for here, _, names in walk(folder) for name in names)
        paths = [file.relative_to(folder).as_posix() for file in files]
        elsewhere = find_slides(missing, paths, str(folder))
        found |= {slide: folder / file for slide, file in elsewhere.items()}
        _refuse_two_for_one({slide: str(file) for slide, file in found.items()}, str(folder))
    return found


def _refuse_two_for_one(found: dict[str, str], where: str) -> None:
    owners: dict[str, str] = {}
    for slide, file in found.items():
        if (owner := owners.setdefault(file, slide)) != slide:
            # Names that look the same are shown by their characters.
            shown = ascii if composed(owner) == composed(slide) else repr
            raise ValueError(
                f"slides {shown(owner)} and {shown(slide)} are both the file {file} in {where}"
            )


def refuse_reserved(datasets: Iterable[str], reserved: Sequence[str] = COMBINED) -> None:
    """Refuse several datasets of which one has the name of a row for all of them.

    Raises:
        ValueError: There is such a dataset.
    """
    names = set(datasets)
    if len(names) > 1 and (taken := sorted(names & set(reserved))):
        raise ValueError(
            f"a dataset is called {taken[0]!r}, which is also the name of a result of all datasets "
            "together: rename it in the column dataset"
        )


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that are probably two spellings of one name.

    They differ only in case (``P3`` and ``p3``), in Unicode form or invisible characters, in
    leading zeros (``00123`` and ``123``), in spaces, hyphens and underscores (``P-1`` and ``P 1``),
    or a whole number ends with a decimal zero (``1`` and ``1.0``).
    """
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        groups[_plain(name)][name] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _plain(name: str) -> str:
    # Format characters (Cf) such as a byte order mark or a zero-width space are invisible.
    visible = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    folded = unicodedata.normalize("NFKC", visible).casefold().strip()
    if number := _WITH_DECIMAL_ZERO.fullmatch(folded):
        folded = number[1]
    joined = _SEPARATORS.sub("-", folded)
    # Between two digits a separator stays: 1-23 and 12-3 are different names.
    joined = re.sub(r"(?<!\d)-|-(?!\d)", "", joined)
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", joined)


def standard_names(columns: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Return the columns to rename: those that are a known name apart from case and spaces.

    Args:
        columns: Names of all columns.
        known: Known names. One that is among the columns, or that several of them match, is left
            out.

    Returns:
        The known name by column.
    """
    lower = [name.strip().casefold() for name in columns]
    return {
        columns[lower.index(name.casefold())]: name
        for name in known
        if name not in columns and lower.count(name.casefold()) == 1
    }


def warn_of_similar(columns: Sequence[str], known: Sequence[str]) -> None:
    """Warn of columns whose names are close to a known name that is missing."""
    missing = [name for name in known if name not in columns]
    for name in columns:
        if name in known:
            continue
        if close := difflib.get_close_matches(name.casefold(), missing, 1, _SIMILAR):
            warnings.warn(
                f"column {name!r} is kept but not used; did you mean {close[0]!r}?", stacklevel=4
            )
