"""Folders of images as arrays: which files are for what, and their pixels."""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resbuilder.datasets.content import content_of, drawn
from resbuilder.datasets.layout import TEST, TRAIN, VALIDATION, Found, find
from resbuilder.datasets.progress import progress
from resbuilder.datasets.reading import Header, ImageReading, read_header, read_picture
from resbuilder.datasets.record import UNUSED, DataRecord, RecordedFile
from resbuilder.datasets.split import Split

TEST_SHARE = 0.2
_LISTED = 3  # files that a sentence names
_THREADS = 8  # each holds a whole picture


@dataclass(frozen=True, eq=False)
class FolderFiles:
    """Which files the arrays of a folder were read from.

    Attributes:
        train: Of x_train, in its order.
        test: Of x_test, in its order.
        parts: What each of ``train`` is for (``"train"``, ``"validation"`` or ``"unused"``), where
            the folder or the record of a run says so; None: that is still to be drawn.
    """

    train: tuple[RecordedFile, ...]
    test: tuple[RecordedFile, ...]
    parts: tuple[str, ...] | None


class FolderData(NamedTuple):
    """What was read from a folder.

    Attributes:
        arrays: x_train, y_train, x_test and y_test by name.
        classes: Names of the classes.
        reading: How the pictures were read.
        files: Which they are; None where they are divided by order.
        notes: What was done to them, as sentences.
    """

    arrays: dict[str, np.ndarray]
    classes: tuple[str, ...]
    reading: ImageReading
    files: FolderFiles | None
    notes: tuple[str, ...]


class _File(NamedTuple):
    """A file, and what tells it from others."""

    found: Found
    content: str

    @property
    def recorded(self) -> RecordedFile:
        return RecordedFile(self.found.name, self.content, self.found.label)


def read_folder(
    path: Path,
    image_size: int | tuple[int, int] | None = None,
    ela_quality: int | None = None,
    fit: str = "stretch",
    record: DataRecord | None = None,
    by_order: bool = False,
) -> FolderData:
    """Read a folder of images as uint8 arrays.

    Classes are the sub-folders in alphabetical order; images may lie deeper inside them. The folder
    may be divided into parts (see :func:`.layout.find`). Without a part for tests, about 20 % of
    the training images become it: those whose content says so (see :mod:`.content`). If every image
    is grey the arrays have one channel, otherwise three. Files that are exact copies of others
    never are in two parts: training does without those that are also used for validation or tests.

    Args:
        path: The folder.
        image_size: Side, or (height, width), that images are brought to; by default the size they
            have, which must then be the same for all.
        ela_quality: See :class:`.ImageReading`.
        fit: Likewise.
        record: Of a run: its pictures are read as it read them, and if it names files, these and no
            others, each for what it was. The three arguments before are then ignored.
        by_order: Draw the tests by the order of the file names, an exact share of each class, and
            look for no copies: so a dataset that others know is divided for good.

    Raises:
        ValueError: If there are fewer than two classes, a class has too few images, an image cannot
            be read, sizes differ without ``image_size``, or files of the record are not there.
    """
    layout, notes = find(path), []
    found = [file for files in layout.parts.values() for file in files]
    contents = _each(lambda f: content_of(f.path), found, f"looking at {path.name}")
    known = dict(zip(found, contents, strict=True))
    parts = {part: [_File(f, known[f]) for f in files] for part, files in layout.parts.items()}
    if record is not None and record.files is not None:
        parts = _recorded(path, layout.classes, parts, record)
    else:
        if layout.passed_over:
            notes.append(
                f"{path.name}: files passed over, as they are not pictures that can be read here "
                f"or lie in no class: {len(layout.passed_over)} ({_some(layout.passed_over)})"
            )
        if by_order:
            parts = _with_tests_by_order(parts)
        else:
            notes += _copies(path, layout.classes, parts)
        if TEST not in parts:
            parts = _with_tests(path, layout.classes, parts, notes)
    if record is not None and record.reading is not None:
        reading = record.reading
    else:
        reading = _reading(path, found, image_size, ela_quality, fit)
    train = [(part, file) for part, files in parts.items() if part != TEST for file in files]
    train.sort(key=lambda item: (item[1].found.label, item[1].recorded.name))
    arrays, conversions = {}, Counter[str]()
    for part, read in ((TRAIN, [file for _, file in train]), (TEST, parts[TEST])):
        label = f"reading {path.name}/{part}"
        arrays[f"x_{part}"] = _decode([f.found.path for f in read], reading, label, conversions)
        arrays[f"y_{part}"] = np.array([file.found.label for file in read])
    if conversions and (record is None or record.files is None):
        done = ", ".join(f"{count} {what}" for what, count in conversions.items())
        notes.append(f"{path.name}: of {len(train) + len(parts[TEST])} images {done}")
    for note in notes:
        warnings.warn(note, stacklevel=3)
    given = len(parts) > 2
    files = FolderFiles(
        tuple(file.recorded for _, file in train),
        tuple(file.recorded for file in parts[TEST]),
        tuple(part for part, _ in train) if given else None,
    )
    return FolderData(arrays, layout.classes, reading, None if by_order else files, tuple(notes))


def sizes(path: Path) -> list[tuple[int, int]]:
    """Return the (height, width) of each image of a folder, from their headers alone.

    Raises:
        ValueError: As :func:`read_folder`.
    """
    files = [file for files in find(path).parts.values() for file in files]
    return [header.size for header in _headers(path, files)]


def _headers(path: Path, files: list[Found]) -> list[Header]:
    return _each(lambda f: read_header(f.path), files, f"looking at {path.name}")


def _reading(
    path: Path,
    files: list[Found],
    image_size: int | tuple[int, int] | None,
    ela_quality: int | None,
    fit: str,
) -> ImageReading:
    """Return the reading that suits the images of a folder."""
    headers = _headers(path, files)
    mode = "L" if all(header.grey for header in headers) else "RGB"
    height, width = headers[0].size if image_size is None else _pair(image_size)
    for file, header in zip(files, headers, strict=True):
        if image_size is None and header.size != (height, width):
            raise ValueError(
                f"the images in {path} differ in size: {files[0].path.name} is {height}x{width}, "
                f"{file.path.name} {header.size[0]}x{header.size[1]} (height x width); give "
                "image_size to resize them"
            )
    return ImageReading(height, width, fit, mode, ela_quality)


def _pair(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width)."""
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"image_size must be a positive side or (height, width) in pixels, not {image_size!r}"
        )
    height, width = sides
    return height, width


def _copies(path: Path, classes: tuple[str, ...], parts: dict[str, list[_File]]) -> list[str]:
    """Take copies of what validates or tests out of the parts before; return what to say.

    Raises:
        ValueError: If a class then has nothing to train on.
    """
    groups: defaultdict[str, list[_File]] = defaultdict(list)
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


def _with_tests(
    path: Path, classes: tuple[str, ...], parts: dict[str, list[_File]], notes: list[str]
) -> dict[str, list[_File]]:
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


def _with_tests_by_order(parts: dict[str, list[_File]]) -> dict[str, list[_File]]:
    """Draw the test part from the training part, unless it is there, by the order of the files."""
    if TEST in parts:
        return parts
    files = parts[TRAIN]
    split = Split.stratified(np.array([f.found.label for f in files]), TEST_SHARE, seed=0)
    chosen = {TRAIN: split.train, TEST: split.validation}
    return parts | {part: [files[i] for i in at] for part, at in chosen.items()}


def _recorded(
    path: Path,
    classes: tuple[str, ...],
    parts: dict[str, list[_File]],
    record: DataRecord,
) -> dict[str, list[_File]]:
    """Return the files of a run, each for what it was there.

    Raises:
        ValueError: If classes or files are not as they were.
    """
    if classes != record.classes:
        raise ValueError(
            f"the classes in {path} are now {', '.join(classes)}; the run has "
            f"{', '.join(record.classes)}: restore the folders, or start a new run"
        )
    here: defaultdict[tuple[str, int], list[_File]] = defaultdict(list)
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
            parts[part].append(_File(there[0].found._replace(name=name), content))
    if missing:
        total = sum(map(len, wanted.values()))
        raise ValueError(
            f"{path} lacks {len(missing)} of the {total} images of the run in their classes: "
            f"{_some(missing)}; restore them, or start a new run"
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


def _decode(
    files: Sequence[Path], reading: ImageReading, label: str, conversions: Counter[str]
) -> np.ndarray:
    """Decode files into one array (n, height, width, channels); count conversions."""
    pixels = np.empty((len(files), *reading.input_shape), np.uint8)

    def read(at: int) -> tuple[str, ...]:
        pixels[at], done = read_picture(files[at], reading)
        return done

    for done in _each(read, range(len(files)), label):
        conversions.update(done)
    return pixels


def _each(work: Callable[[Any], Any], items: Sequence[Any], label: str) -> list[Any]:
    """Work on all items in threads (decoding releases the interpreter), stop at an error."""
    pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
    try:
        return list(progress(pool.map(work, items), len(items), label))
    finally:
        pool.shutdown(cancel_futures=True)


def _some(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
