"""Divide the files of a folder into training, validation and test files."""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resbuilder.common.words import count, some
from resbuilder.datasets.content import drawn
from resbuilder.datasets.data_record import UNUSED, DataRecord, RecordedFile
from resbuilder.datasets.layout import TEST, TRAIN, VALIDATION, Found
from resbuilder.datasets.split import Split

TEST_SHARE = 0.2
LISTED = 3  # The most files that a message names.


class File(NamedTuple):
    """A file and the hash of its content."""

    found: Found
    content: str

    @property
    def recorded(self) -> RecordedFile:
        """What a run records about the file."""
        return RecordedFile(self.found.name, self.content, self.found.label)


def without_copies(path: Path, classes: tuple[str, ...], parts: dict[str, list[File]]) -> list[str]:
    """Remove copies of test files from the other parts, and of validation files from training.

    Args:
        path: The folder.
        classes: Names of the classes.
        parts: The files of each part; changed in place.

    Returns:
        A sentence about the copies, or nothing if there are none.

    Raises:
        ValueError: If a class then has no training image.
    """
    groups: defaultdict[str, list[File]] = defaultdict(list)
    for file in (file for files in parts.values() for file in files):
        groups[file.content].append(file)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return []
    copies = sum(len(group) - 1 for group in several)
    first = " = ".join(file.found.name for file in several[0][:2])
    text = f"{path.name}: exact copies of other images: {copies}, such as {first}"
    if twice := sum(len({file.found.label for file in group}) > 1 for group in several):
        text += f"; images in more than one class: {twice}"
    before = sum(map(len, parts.values()))
    taken: set[str] = set()
    for part in (TEST, VALIDATION, TRAIN):
        if part in parts:
            parts[part] = [file for file in parts[part] if file.content not in taken]
            taken |= {file.content for file in parts[part]}
    if left := before - sum(map(len, parts.values())):
        text += f"; left out, because they are also test or validation images: {left}"
    for label in set(range(len(classes))) - {file.found.label for file in parts[TRAIN]}:
        raise ValueError(
            f"{path}: every training image of class {classes[label]} is an exact copy of a test or "
            "validation image; add other images"
        )
    return [text]


def with_tests(
    path: Path, classes: tuple[str, ...], parts: dict[str, list[File]], notes: list[str]
) -> dict[str, list[File]]:
    """Draw the test files from the training files.

    Args:
        path: The folder.
        classes: Names of the classes.
        parts: The files of each part that the folder has.
        notes: Gets a sentence if the folder has a validation part but no test part.

    Returns:
        The files of each part.

    Raises:
        ValueError: If a class has too few different images for all parts.
    """
    files = parts[TRAIN]
    contents, labels = [f.content for f in files], np.array([f.found.label for f in files])
    given = VALIDATION in parts
    if given:
        notes.append(
            f"{path.name} has no test folder: about {TEST_SHARE:.0%} of the training images are "
            "used for testing"
        )
    tests = drawn(contents, labels, TEST_SHARE, TEST, leave=1 if given else 2)
    for label, name in enumerate(classes):
        here = labels == label
        different = len({contents[i] for i in np.flatnonzero(here)})
        left = len({contents[i] for i in np.flatnonzero(here & ~tests)})
        if not (here & tests).any() or left < (1 if given else 2):
            needed = max(2 if given else 3, different + 1)
            others = "" if given else ", validation"
            raise ValueError(
                f"{path}: class {name} has {count(different, 'different training image')}, but "
                f"needs at least {needed}, for training{others} and testing"
            )
    chosen = [[f for f, t in zip(files, tests, strict=True) if t == is_test] for is_test in (0, 1)]
    return parts | {TRAIN: chosen[0], TEST: chosen[1]}


def with_tests_by_order(parts: dict[str, list[File]]) -> dict[str, list[File]]:
    """Draw the test files from the training files, unless given, by the order of the files."""
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
    """Return the files that a run recorded, each in its recorded part.

    Raises:
        ValueError: If classes or files have changed since.
    """
    if classes != record.classes:
        raise ValueError(
            f"the classes in {path} are now {', '.join(classes)}, but the run has "
            f"{', '.join(record.classes)}; restore the folders, or start a new run"
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
            files = here.get((content, label))
            if files is None:
                missing.append(f"{name} {'has changed' if name in names else 'is missing'}")
                continue
            # A renamed file keeps its recorded name, and so its place in the order.
            parts[part].append(File(files[0].found._replace(name=name), content))
    if missing:
        total = sum(map(len, wanted.values()))
        raise ValueError(
            f"{path} lacks {len(missing)} of the run's {total} images in their classes: "
            f"{some(missing, LISTED)}; restore them, or start a new run"
        )
    known = {content for recorded in wanted.values() for _, content, _ in recorded}
    if new := sum(len(files) for (content, _), files in here.items() if content not in known):
        warnings.warn(
            f"{path.name}: images added since the run began, which are not used: {new}",
            stacklevel=4,
        )
    if not parts[UNUSED]:
        del parts[UNUSED]
    return parts
