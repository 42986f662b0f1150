"""Read a folder of images as arrays."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resbuilder.common.words import count, some
from resbuilder.datasets.content import content_of
from resbuilder.datasets.data_record import DataRecord, RecordedFile
from resbuilder.datasets.layout import TEST, TRAIN, VALIDATION, Found, Layout, find
from resbuilder.datasets.parts import (
    LISTED,
    File,
    recorded_parts,
    with_tests,
    with_tests_by_order,
    without_copies,
)
from resbuilder.datasets.progress import progress
from resbuilder.datasets.reading import (
    Header,
    ImageReading,
    large_images,
    read_header,
    read_picture,
)

_THREADS = 8  # Each has a whole decoded image in memory.


@dataclass(frozen=True, eq=False)
class FolderFiles:
    """The files from which the arrays of a folder were read.

    Attributes:
        train: The files of x_train, in the same order.
        test: The files of x_test, in the same order.
        parts: The part of each file in ``train`` (``"train"``, ``"validation"`` or ``"unused"``),
            if the folder or the record of a run says so; None if they are still to be drawn.
    """

    train: tuple[RecordedFile, ...]
    test: tuple[RecordedFile, ...]
    parts: tuple[str, ...] | None


class FolderData(NamedTuple):
    """The data read from a folder.

    Attributes:
        arrays: x_train, y_train, x_test and y_test by name.
        classes: Names of the classes.
        reading: How the image files were read.
        files: The files; None if they were divided by their order.
        notes: What was skipped and converted, as sentences.
    """

    arrays: dict[str, np.ndarray]
    classes: tuple[str, ...]
    reading: ImageReading
    files: FolderFiles | None
    notes: tuple[str, ...]


def read_folder(
    path: Path,
    image_size: int | tuple[int, int] | None = None,
    ela_quality: int | None = None,
    fit: str = "stretch",
    record: DataRecord | None = None,
    by_order: bool = False,
) -> FolderData:
    """Read a folder of images as uint8 arrays.

    The classes are the sub-folders in alphabetical order; images may be in deeper folders. The
    folder may be divided into parts (see :func:`.layout.find`). Without a test part, about 20 % of
    the training images become test images, chosen by their contents (see :mod:`.content`). If every
    image is gray, the arrays have one channel, otherwise three. Exact copies of an image are never
    in two parts: copies of validation and test images are left out of training.

    Args:
        path: The folder.
        image_size: Side, or (height, width), to which images are resized; by default their own
            size, which must then be the same for all.
        ela_quality: See :class:`.ImageReading`.
        fit: See :class:`.ImageReading`.
        record: Record of a run. Image files are read as in the run; if it lists files, exactly
            these are loaded, each into its recorded part. The three arguments before are ignored.
        by_order: Draw the test images by the order of the file names, an exact fraction of each
            class, and do not look for copies, so that a public dataset is always divided alike.

    Raises:
        ValueError: If there are fewer than two classes, a class has too few images, an image cannot
            be read, sizes differ without ``image_size``, or files of the record are missing.
    """
    layout, notes = find(path), list[str]()
    found = [file for files in layout.parts.values() for file in files]
    contents = _each(lambda f: content_of(f.path), found, f"scanning {path.name}")
    known = dict(zip(found, contents, strict=True))
    parts = {part: [File(f, known[f]) for f in files] for part, files in layout.parts.items()}
    if record is not None and record.files is not None:
        parts = recorded_parts(path, layout.classes, parts, record)
    else:
        notes += _skipped(path, layout)
        if by_order:
            parts = with_tests_by_order(parts)
        else:
            notes += without_copies(path, layout.classes, parts)
        if TEST not in parts:
            parts = with_tests(path, layout.classes, parts, notes)
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
    if record is None or record.files is None:
        notes += _converted(path, conversions, len(train) + len(parts[TEST]))
    for note in notes:
        warnings.warn(note, stacklevel=3)
    given = len(parts) > 2
    files = FolderFiles(
        tuple(file.recorded for _, file in train),
        tuple(file.recorded for file in parts[TEST]),
        tuple(part for part, _ in train) if given else None,
    )
    return FolderData(arrays, layout.classes, reading, None if by_order else files, tuple(notes))


class UnseenImages(NamedTuple):
    """Images of a folder with which a network can be tested.

    Attributes:
        x: Raw pixels (n, height, width, channels), uint8.
        y: Labels (n,).
        classes: Names of the classes.
        whole: Whether the folder has no test part, so that all of its images count.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    whole: bool


def read_unseen(
    path: Path,
    image_size: int | tuple[int, int] | None = None,
    ela_quality: int | None = None,
    fit: str = "stretch",
    record: DataRecord | None = None,
) -> UnseenImages:
    """Read the test part of a folder, or all images if it has none, to evaluate a network on them.

    Skipped files and conversions are counted in warnings, as when a folder is read for training.

    Args:
        path: The folder.
        image_size: As for :func:`read_folder`.
        ela_quality: As for :func:`read_folder`.
        fit: As for :func:`read_folder`.
        record: Record of the network's run. Image files are read as in the run, and those with
            which it was trained or validated are left out, whatever their names.

    Raises:
        ValueError: If the folder cannot be read, or no image is left.
    """
    layout = find(path, to_train=False)
    whole = TEST not in layout.parts
    found = [f for part, files in layout.parts.items() if whole or part == TEST for f in files]
    seen = set[str]()
    if record is not None and record.files is not None:
        seen = {file.content for part in (TRAIN, VALIDATION) for file in record.files[part]}
    if seen:
        contents = _each(lambda f: content_of(f.path), found, f"scanning {path.name}")
        found = [f for f, content in zip(found, contents, strict=True) if content not in seen]
        if not found:
            raise ValueError(
                f"{path}: the network was trained or validated with each of these images; give "
                "others, or leave out dataset= to evaluate on the test images of the run"
            )
        if left_out := len(contents) - len(found):
            warnings.warn(
                f"{path.name}: images left out, because the network was trained or validated with "
                f"them: {left_out} of {len(contents)}",
                stacklevel=3,
            )
    if record is not None and record.reading is not None:
        reading = record.reading
    else:
        reading = _reading(path, found, image_size, ela_quality, fit)
    conversions = Counter[str]()
    x = _decode([f.path for f in found], reading, f"reading {path.name}", conversions)
    for note in (*_skipped(path, layout), *_converted(path, conversions, len(found))):
        warnings.warn(note, stacklevel=3)
    return UnseenImages(x, np.array([f.label for f in found]), layout.classes, whole)


def _skipped(path: Path, layout: Layout) -> list[str]:
    """Return a sentence about the files that are skipped, or nothing if there are none."""
    if not layout.passed_over:
        return []
    return [
        f"{path.name}: files skipped, because they are not images in a supported format or are "
        f"outside the class folders: {len(layout.passed_over)} ({some(layout.passed_over, LISTED)})"
    ]


def _converted(path: Path, conversions: Counter[str], images: int) -> list[str]:
    """Return a sentence that counts the conversions, or nothing if there are none."""
    if not conversions:
        return []
    done = ", ".join(f"{count} {what}" for what, count in conversions.items())
    return [f"{path.name}: of {images} images, {done}"]


def sizes(path: Path) -> list[tuple[int, int]]:
    """Return the (height, width) of each image of a folder, from the files' headers.

    Raises:
        ValueError: As :func:`read_folder`.
    """
    files = [file for files in find(path).parts.values() for file in files]
    return [header.size for header in _headers(path, files)]


def _headers(path: Path, files: list[Found]) -> list[Header]:
    stats = [(file.path, file.path.stat()) for file in files]
    return _headers_of(path, tuple((p, s.st_mtime_ns, s.st_size) for p, s in stats))


@lru_cache(1)
def _headers_of(path: Path, files: tuple[tuple[Path, int, int], ...]) -> list[Header]:
    """Return the headers of files, given with time and size, so that a change is noticed.

    A search asks twice: to choose a size, and to read the images.
    """
    return _each(lambda file: read_header(file[0]), files, f"scanning {path.name}")


def _reading(
    path: Path,
    files: list[Found],
    image_size: int | tuple[int, int] | None,
    ela_quality: int | None,
    fit: str,
) -> ImageReading:
    """Return how to read the images of a folder."""
    headers = _headers(path, files)
    mode = "L" if all(header.gray for header in headers) else "RGB"
    height, width = headers[0].size if image_size is None else _pair(image_size)
    for file, header in zip(files, headers, strict=True):
        if image_size is None and header.size != (height, width):
            raise ValueError(
                f"the images in {path} differ in size: {files[0].path.name} is {height}x{width}, "
                f"but {file.path.name} is {header.size[0]}x{header.size[1]} (height x width); give "
                "image_size to resize them"
            )
    return ImageReading(height, width, fit, mode, ela_quality)


def _pair(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return a size as (height, width)."""
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"image_size must be a positive side or (height, width) in pixels, got {image_size!r}"
        )
    height, width = sides
    return height, width


def _decode(
    files: Sequence[Path], reading: ImageReading, label: str, conversions: Counter[str]
) -> np.ndarray:
    """Decode files into one array (n, height, width, channels), and count conversions."""
    pixels = np.empty((len(files), *reading.input_shape), np.uint8)

    def read(at: int) -> tuple[str, ...]:
        pixels[at], done = read_picture(files[at], reading)
        return done

    for done in _each(read, range(len(files)), label):
        conversions.update(done)
    return pixels


def _each(work: Callable[[Any], Any], items: Sequence[Any], label: str) -> list[Any]:
    """Apply a function to all items in threads, as decoding releases the GIL.

    Raises:
        ValueError: If the function raises it for some items. The message has the first three.
    """

    def tried(item: Any) -> Any:
        try:
            return work(item)
        except ValueError as error:
            return error

    pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
    try:
        with large_images():
            results = list(progress(pool.map(tried, items), len(items), label))
    finally:
        pool.shutdown(cancel_futures=True)
    errors = [result for result in results if isinstance(result, ValueError)]
    if len(errors) > 1:
        raise ValueError(f"{count(len(errors), 'image')} failed: {some(map(str, errors), 3)}")
    if errors:
        raise errors[0]
    return results
