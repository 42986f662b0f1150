"""The same slide under two names: in two splits, or as that of two patients.

A network that has seen a slide in training knows the answer for its copy in the test split, and a
slide that stands for two patients has two outcomes. Names do not tell: contents do.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from resbuilder.common.words import some
from survival.cohort.manifest import Cohort

_CHUNK = 2**20


def contents_of_files(paths: Sequence[Path]) -> list[str]:
    """Return a text for each file that is the same for files with the same bytes, anywhere.

    Args:
        paths: The files; all are read.

    Raises:
        OSError: A file cannot be read.
    """
    return [f"file:{_digest(path)}:{path.stat().st_size}" for path in paths]


def copies_among(paths: Sequence[Path]) -> list[str]:
    """Return what :func:`contents_of_files` does, where it matters among these files, else ``""``.

    Only files of equal size are read: those of another size differ anyway. Of a MIRAX slide the
    file itself says nothing, because its data lie in a folder beside it.

    Args:
        paths: The files.

    Raises:
        OSError: A file cannot be read.
    """
    sizes = [path.stat().st_size for path in paths]
    count = Counter(sizes)
    return [
        f"file:{_digest(path)}:{size}" if count[size] > 1 and path.suffix.lower() != ".mrxs" else ""
        for path, size in zip(paths, sizes, strict=True)
    ]


def check_contents(cohort: Cohort, contents: Sequence[str]) -> None:
    """Refuse a cohort in which one slide has two patients or is in two splits.

    Args:
        cohort: n slides.
        contents: A text for each slide that is the same for copies of one slide, ``""`` where
            nothing is known; n of them.

    Raises:
        ValueError: With every such pair.
    """
    problems = []
    for rows in _copies(contents):
        for row in rows[1:]:
            pair = f"{cohort.slide[rows[0]]!r} and {cohort.slide[row]!r}"
            patients = cohort.patient[rows[0]], cohort.patient[row]
            splits = cohort.split[rows[0]], cohort.split[row]
            if patients[0] != patients[1]:
                problems.append(f"{pair} of patients {patients[0]!r} and {patients[1]!r}")
            elif splits[0] != splits[1]:
                problems.append(f"{pair} in splits {splits[0]!r} and {splits[1]!r}")
    if problems:
        raise ValueError(
            f"{len(problems)} pair(s) of slides have the same content: {some(problems)}; one of "
            "each pair is a copy: remove it, or correct its patient"
        )


def known_slides(
    slides: Sequence[str], contents: Sequence[str], learnt: Sequence[str], seen: Sequence[str]
) -> list[str]:
    """Return which slides a network was trained or chosen on, by name or by content.

    Args:
        slides: Names of n slides.
        contents: As in :func:`check_contents`, n of them.
        learnt: Names of the slides that the network was trained or chosen on.
        seen: Their contents; none where the run does not have them.
    """
    by_name, known = dict(zip(learnt, seen or [""] * len(learnt), strict=True)), set(seen) - {""}
    return [
        slide
        for slide, content in zip(slides, contents, strict=True)
        if content in known or (slide in by_name and not _are_different(content, by_name[slide]))
    ]


def _are_different(content: str, other: str) -> bool:
    """Return whether contents prove that slides of one name differ.

    Hashes of another kind do not compare, and those of tiles differ between levels of one slide.
    """
    kind = content.partition(":")[0]
    comparable = bool(content and other) and kind == other.partition(":")[0] and kind != "tiles"
    return comparable and content != other


def _copies(contents: Sequence[str]) -> list[list[int]]:
    rows = defaultdict(list)
    for row, content in enumerate(contents):
        if content:
            rows[content].append(row)
    return [same for same in rows.values() if len(same) > 1]


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
