"""Image folders: one sub-folder per class, or train/ and test/ with one each."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from resbuilder.datasets.error_level import check_quality, error_level_analysis
from resbuilder.datasets.progress import progress
from resbuilder.datasets.split import Split

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
TEST_FRACTION, TEST_SEED = 0.2, 0
_ORIENTATION = 0x0112  # EXIF tag; values above 4 swap width and height


def read_folder(
    path: Path,
    image_size: int | tuple[int, int] | None = None,
    ela_quality: int | None = None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Reads a folder of images as uint8 arrays.

    Classes are the sub-folders in alphabetical order; images may lie deeper inside them. Without
    train/ and test/ folders, 20 % of each class become the test part, chosen with a fixed seed from
    the sorted file names. If every image is grey the arrays have one channel, otherwise three.

    Args:
        path: The folder.
        image_size: Side, or (height, width), that images are resized to (bilinear, aspect ratio not
            kept); by default the size they have, which must then be the same for all.
        ela_quality: Adds the channels of `error_level_analysis` at this JPEG quality behind those
            of the image: RGB becomes 6 channels. It looks at the pixels of the file; what it finds
            is turned and resized with the image. None by default.

    Returns:
        The arrays x_train, y_train, x_test, y_test by name, and the class names.

    Raises:
        ValueError: If there are fewer than two classes, a class without images, an image that
            cannot be read, images of different sizes without `image_size`, or a quality that is
            none.
    """
    if ela_quality is not None:
        check_quality(ela_quality)
    parts, names = _find(path)
    everything = [file for files, _ in parts.values() for file in files]
    heads = _each(_peek, everything, f"looking at {path.name}")
    size = _common_size(path, everything, heads) if image_size is None else _pair(image_size)
    mode = "L" if all(grey for _, grey in heads) else "RGB"
    arrays = {}
    for part, (files, labels) in parts.items():
        arrays[f"x_{part}"] = _decode(files, size, mode, ela_quality, f"reading {path.name}/{part}")
        arrays[f"y_{part}"] = labels
    return arrays, names


def sizes(path: Path) -> list[tuple[int, int]]:
    """Returns the (height, width) of each image of a folder, from their headers alone.

    Raises:
        ValueError: As :func:`read_folder`.
    """
    parts, _ = _find(path)
    files = [file for files, _ in parts.values() for file in files]
    return [size for size, _ in _each(_peek, files, f"looking at {path.name}")]


def _find(path: Path) -> tuple[dict[str, tuple[list[Path], np.ndarray]], tuple[str, ...]]:
    """Lists files and labels of both parts, and the class names."""
    folders = _folders(path)
    names = [folder.name for folder in folders]
    if {"train", "test"} <= set(names):
        if len(names) > 2:
            raise ValueError(
                f"{path} has {', '.join(names)}; expected only train and test (validation images "
                "are taken out of train)"
            )
        files, labels, classes = _classes(path / "train")
        test_files, test_labels, test_classes = _classes(path / "test")
        if test_classes != classes:
            odd = sorted(set(test_classes) ^ set(classes))
            raise ValueError(
                f"{path}: train and test must have the same classes, but {', '.join(odd)} "
                "is only in one of them"
            )
        return {"train": (files, labels), "test": (test_files, test_labels)}, classes
    files, labels, classes = _classes(path)
    counts = np.bincount(labels)
    if counts.min() < 2:
        raise ValueError(
            f"{path}: class {classes[counts.argmin()]} has 1 image; every class needs at least 2, "
            "one to train and one to test"
        )
    split = Split.stratified(labels, TEST_FRACTION, TEST_SEED)
    chosen = {"train": split.train, "test": split.validation}
    return {part: ([files[i] for i in at], labels[at]) for part, at in chosen.items()}, classes


def _folders(path: Path) -> list[Path]:
    """Returns the visible sub-folders, sorted."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _classes(path: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Lists the images of every class sub-folder, their labels, and the class names."""
    folders = _folders(path)
    if len(folders) < 2:
        found = f"one, {folders[0].name}" if folders else "none"
        raise ValueError(
            f"{path} must hold at least two sub-folders of images, one per class; found {found}"
        )
    files, labels = [], []
    for label, folder in enumerate(folders):
        inside = sorted(
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        )
        if not inside:
            raise ValueError(
                f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); add some or remove it"
            )
        files += inside
        labels += [label] * len(inside)
    return files, np.array(labels), tuple(folder.name for folder in folders)


def _peek(file: Path) -> tuple[tuple[int, int], bool]:
    """Reads from the header the size (height, width) as seen upright, and whether it is grey."""
    with _open(file) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("more than 8 bits per channel; convert it to 8 bits")
        width, height = image.size
        upright = image.getexif().get(_ORIENTATION, 1) <= 4
        return (height, width) if upright else (width, height), image.mode in ("1", "L", "LA")


def _common_size(path: Path, files: list[Path], heads: list) -> tuple[int, int]:
    """Returns the one size all images have."""
    size = heads[0][0]
    for file, (other, _) in zip(files, heads, strict=True):
        if other != size:
            raise ValueError(
                f"the images in {path} differ in size: {files[0].name} is {size[0]}x{size[1]}, "
                f"{file.name} {other[0]}x{other[1]} (height x width); give image_size to resize "
                "them"
            )
    return size


def _pair(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width)."""
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"image_size must be a positive side or (height, width) in pixels, not {image_size!r}"
        )
    height, width = sides
    return height, width


def _decode(
    files: list[Path], size: tuple[int, int], mode: str, ela_quality: int | None, label: str
) -> np.ndarray:
    """Decodes files into one array (n, height, width, channels)."""
    shown = 1 if ela_quality is None else 2
    pixels = np.empty((len(files), *size, shown * len(mode)), np.uint8)

    def read(at: int) -> None:
        with _open(files[at]) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            images = [image.convert(mode)]
        if ela_quality is not None:
            levels = error_level_analysis(np.asarray(images[0]), ela_quality)
            images.append(Image.fromarray(levels))
        for place, part in enumerate(np.split(pixels[at], shown, axis=-1)):
            part[:] = _fitted(images[place], orientation, size).reshape(part.shape)

    _each(read, range(len(files)), label)
    return pixels


def _fitted(image: Image.Image, orientation: int, size: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of an image turned upright and brought to (height, width)."""
    image.getexif()[_ORIENTATION] = orientation
    image = ImageOps.exif_transpose(image)
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def _each(work: Callable, items: list | range, label: str) -> list:
    """Works on all items in threads (decoding releases the interpreter), stops at an error."""
    pool = ThreadPoolExecutor()
    try:
        return list(progress(pool.map(work, items), len(items), label))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _open(file: Path) -> Iterator[Image.Image]:
    """Opens an image; whatever goes wrong with it names the file."""
    try:
        with Image.open(file) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(
            f"the image {file} cannot be read ({reason}); repair or remove it"
        ) from error
