"""Find copies of one slide under two names, in two splits or for two patients.

A network that was trained on a slide knows the answer for its copy in the test split, and a slide
that belongs to two patients has two outcomes. Names cannot reveal this, so contents are compared.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from resbuilder.common.words import composed, count, some
from survival.cohort.manifest import Cohort

_CHUNK = 2**20


def contents_of_files(paths: Sequence[Path]) -> list[str]:
    """Return a text for each file that is equal exactly for files with equal bytes.

    The texts can be stored and compared with those of other files.

    Args:
        paths: The files; all of them are read.

    Raises:
        OSError: A file cannot be read.
    """
    return [f"file:{_digest(path)}:{path.stat().st_size}" for path in paths]


def copies_among(paths: Sequence[Path]) -> list[str]:
    """Return the texts of :func:`contents_of_files` for files of equal size, else ``""``.

    Files of different sizes differ anyway, so they are not read. A MIRAX file (.mrxs) also gets
    ``""``: its image data are in a separate folder.

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
        cohort: A cohort of n slides.
        contents: n texts, equal for copies of one slide; ``""`` if the content is unknown.

    Raises:
        ValueError: There is such a pair; the error lists all of them.
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
            f"{count(len(problems), 'pair')} of slides with the same content: {some(problems)}; "
            "remove the copy in each pair, or correct its patient"
        )


def known_slides(
    slides: Sequence[str], contents: Sequence[str], learned: Sequence[str], seen: Sequence[str]
) -> list[str]:
    """Return the slides that were in a network's training or validation split.

    Slides are recognized by name, in any Unicode form, or by content.

    Args:
        slides: Names of n slides.
        contents: n texts as in :func:`check_contents`.
        learned: Names of the slides in the network's training and validation split.
        seen: Contents of those slides; empty if the run does not record them.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, content in zip(learned, seen or [""] * len(learned), strict=True):
        by_name[composed(name)].append(content)
    known = set(seen) - {""}
    return [
        slide
        for slide, content in zip(slides, contents, strict=True)
        if content in known
        or any(not _are_different(content, other) for other in by_name.get(composed(slide), ()))
    ]


def _are_different(content: str, other: str) -> bool:
    """Return whether contents prove that two slides of one name differ.

    Hashes of different kinds cannot be compared, and tile hashes differ between levels of a slide.
    The size of its file, at the end of the text, does not.
    """
    kind, other_kind = content.partition(":")[0], other.partition(":")[0]
    if not (content and other) or kind != other_kind:
        return False
    if kind == "tiles":
        content, other = content.rpartition(":")[2], other.rpartition(":")[2]
    return content != other


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
