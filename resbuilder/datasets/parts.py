"""Which files of a folder train, validate and test."""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resbuilder.common.words import some
from resbuilder.datasets.content import drawn
from resbuilder.datasets.layout import TEST, TRAIN, VALIDATION, Found
from resbuilder.datasets.record import UNUSED, DataRecord, RecordedFile
from resbuilder.datasets.split import Split

TEST_SHARE = 0.2
LISTED = 3  # files that a sentence names


class File(NamedTuple):
    """A file, and what tells it from others."""

    found: Found
    content: str

    @property
    def recorded(self) -> RecordedFile:
        """What a run remembers of it."""
        return RecordedFile(self.found.name, self.content, self.found.label)


def without_copies(path: Path, classes: tuple[str, ...], parts: dict[str, list[File]]) -> list[str]:
    """Take copies of what validates or tests out of the parts before; return what to say.

    Raises:
        ValueError: If a class then has nothing to train on.
    """
    groups: defaultdict[str, list[File]] = defaultdict(list)
    for file in (file for files in parts.values() for file in files):
        groups[file.content].append(file)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return []
    count = sum(len(group) - 1 for group in several)
    first = " = ".join(file.found.name for file in several[0][:2])
    text = f"{path.name}: exact copies of other images: {count}, such as {first}"
    if twice := sum(len({file.found.label for file in group}) > 1 for group in several):
        text += f"; pictures in more than one class: {twice}"
    before = sum(map(len, parts.values()))
    taken: set[str] = set()
    for part in (TEST, VALIDATION, TRAIN):
        if part in parts:
            parts[part] = [file for file in parts[part] if file.content not in taken]
            taken |= {file.content for file in parts[part]}
    if left := before - sum(map(len, parts.values())):
        text += f"; left out, as tests or validation have them too: {left}"
    for label in set(range(len(classes))) - {file.found.label for file in parts[TRAIN]}:
        raise ValueError(
            f"{path}: every training image of class {classes[label]} is an exact copy of one that "
            "tests or validates; add others"
        )
    return [text]


def with_tests(
    path: Path, classes: tuple[str, ...], parts: dict[str, list[File]], notes: list[str]
) -> dict[str, list[File]]:
    """Draw the test part from the training part.

    Raises:
        ValueError: If a class has too few different images for all parts.
    """
    files = parts[TRAIN]
    contents, labels = [f.content for f in files], np.array([f.found.label for f in files])
    given = VALIDATION in parts
    if given:
        notes.append(
            f"{path.name} has no folder for tests: about {TEST_SHARE:.0%} of the training images "
            "become tests"
        )
    tests = drawn(contents, labels, TEST_SHARE, TEST, leave=1 if given else 2)
    for label, name in enumerate(classes):
        here = labels == label
        different = len({contents[i] for i in np.flatnonzero(here)})
        left = len({contents[i] for i in np.flatnonzero(here & ~tests)})
        if not (here & tests).any() or left < (1 if given else 2):
            needed = max(2 if given else 3, different + 1)
            others = "" if given else ", one to validate"
            raise ValueError(
                f"{path}: class {name} has {different} different training image(s); it needs at "
                f"least {needed}: one to train{others}, one to test"
            )
    chosen = [[f for f, t in zip(files, tests, strict=True) if t == is_test] for is_test in (0, 1)]
    return parts | {TRAIN: chosen[0], TEST: chosen[1]}


def with_tests_by_order(parts: dict[str, list[File]]) -> dict[str, list[File]]:
    """Draw the test part from the training part, unless it is there, by the order of the files."""
    if TEST in parts:
        return parts
    files = parts[TRAIN]
    split = Split.stratified(np.array([f.found.label for f in files]), TEST_SHARE, seed=0)
    chosen = {TRAIN: split.train, TEST: split.validation}
    return parts | {part: [files[i] for i in at] for part, at in chosen.items()}


def recorded_parts(
    path: Path,
    classes: tuple[str, ...],
    parts: dict[str, list[File]],
    record: DataRecord,
) -> dict[str, list[File]]:
    """Return the files of a run, each for what it was there.

    Raises:
        ValueError: If classes or files are not as they were.
    """
    if classes != record.classes:
        raise ValueError(
            f"the classes in {path} are now {', '.join(classes)}; the run has "
            f"{', '.join(record.classes)}: restore the folders, or start a new run"
        )
    here: defaultdict[tuple[str, int], list[File]] = defaultdict(list)
    for file in (file for files in parts.values() for file in files):
        here[file.content, file.found.label].append(file)
    wanted = record.files or {}
    names = {file.found.name for files in here.values() for file in files}
    missing: list[str] = []
    parts = {part: [] for part in wanted}
    for part, recorded in wanted.items():
        for name, content, label in recorded:
            there = here.get((content, label))
            if there is None:
                missing.append(f"{name} {'has changed' if name in names else 'is not there'}")
                continue
            # It may have another name now; it keeps its place.
            parts[part].append(File(there[0].found._replace(name=name), content))
    if missing:
        total = sum(map(len, wanted.values()))
        raise ValueError(
            f"{path} lacks {len(missing)} of the {total} images of the run in their classes: "
            f"{some(missing, LISTED)}; restore them, or start a new run"
        )
    known = {content for recorded in wanted.values() for _, content, _ in recorded}
    if new := sum(len(files) for (content, _), files in here.items() if content not in known):
        warnings.warn(
            f"{path.name}: images added since the run began, which it does without: {new}",
            stacklevel=4,
        )
    if not parts[UNUSED]:
        del parts[UNUSED]
    return parts
