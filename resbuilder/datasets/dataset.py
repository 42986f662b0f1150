"""The common format of all datasets, and the checks that each dataset must pass."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from resbuilder.common.words import composed, some
from resbuilder.datasets.data_record import UNUSED, DataRecord
from resbuilder.datasets.folder import FolderFiles
from resbuilder.datasets.layout import TEST, TRAIN, VALIDATION
from resbuilder.datasets.reading import ImageReading
from resbuilder.datasets.split import Split

SCALINGS = ("unit", "standardize")


@dataclass(frozen=True, eq=False, init=False)
class Dataset:
    """Training and test images with labels, checked and in one format.

    The constructor also accepts gray images without a channel axis, labels of shape (n, 1), wider
    integer types, and `class_names=None`, which names the classes by their numbers. The fields
    always have the format below.

    Attributes:
        name: Name of the dataset in reports.
        x_train: Raw pixels (n, height, width, channels); uint8, or float32 if the source has
            floats.
        y_train: Labels (n,), int64 in 0..classes-1.
        x_test: As `x_train`.
        y_test: As `y_train`.
        class_names: One name per class, in the order of the labels.
        scaling: How `Preprocessing.fit` scales the pixels: "unit" or "standardize".
        reading: How to read an image file in the same way; by default, None if the pixels are not
            uint8, or not gray or RGB.
        files: The files from which the images were read; None if they are not from a folder.
        notes: How the images were converted when they were read, as sentences.

    Raises:
        ValueError: If an array has the wrong shape or type, the numbers of images and labels
            differ, pixels are not finite, or labels are not 0..classes-1.
    """

    name: str
    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    y_test: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    scaling: str
    reading: ImageReading | None
    files: FolderFiles | None = field(repr=False)
    notes: tuple[str, ...]

    def __init__(
        self,
        name: str,
        x_train: ArrayLike,
        y_train: ArrayLike,
        x_test: ArrayLike,
        y_test: ArrayLike,
        class_names: Sequence[str] | None,
        scaling: str = "standardize",
        reading: ImageReading | None = None,
        files: FolderFiles | None = None,
        notes: Sequence[str] = (),
    ):
        """Convert the arrays to the documented format and check them."""
        if scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {SCALINGS}, got {scaling!r}")
        train, train_labels = _part(x_train, y_train, name, "train")
        test, test_labels = _part(x_test, y_test, name, "test")
        _check_ranges(train, test, name)
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                f"{name}: x_train has {train.dtype} images of shape {train.shape[1:]}, but x_test "
                f"has {test.dtype} images of shape {test.shape[1:]}; both must be the same"
            )
        values = {
            "name": name,
            "x_train": train,
            "y_train": train_labels,
            "x_test": test,
            "y_test": test_labels,
            "class_names": _classes(train_labels, test_labels, name, class_names),
            "scaling": scaling,
            "reading": reading or _reading(train),
            "files": files,
            "notes": tuple(notes),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def split(self, fraction: float = 0.2, seed: int = 0, limit: int | None = None) -> Split:
        """Split the training images into training and validation images.

        In a folder, the sub-folders or the record of a run decide; if they do not, the content of
        each file does. In other datasets, images are drawn by their index.

        Args:
            fraction: Fraction of validation images, between 0 and 1.
            seed: Seed of the choice.
            limit: Use only this many images; all by default.

        Raises:
            ValueError: See :meth:`Split.stratified` and :meth:`Split.by_content`.
        """
        if self.files is None:
            return Split.stratified(self.y_train, fraction, seed, limit)
        contents, validation = [file.content for file in self.files.train], None
        if self.files.parts is not None:
            parts = np.array(self.files.parts)
            validation = parts == VALIDATION
            if (parts == UNUSED).any():  # The recorded run had a limit.
                return Split(np.flatnonzero(parts == TRAIN), np.flatnonzero(validation))
        return Split.by_content(
            contents, self.y_train, self.class_names, fraction, seed, limit, validation
        )

    def refuse_fraction(self) -> None:
        """Raise ValueError if the folder itself says which images are for validation."""
        if self.files is not None and VALIDATION in (self.files.parts or ()):
            raise ValueError(
                f"validation_fraction has no effect: {self.name} has a folder of validation "
                "images; leave it out"
            )

    def record(self, split: Split) -> DataRecord:
        """Return what a run records about these data."""
        files = None
        if self.files is not None:
            parts = np.full(len(self.y_train), UNUSED, dtype=object)
            parts[split.train], parts[split.validation] = TRAIN, VALIDATION
            files = {
                part: tuple(f for f, p in zip(self.files.train, parts, strict=True) if p == part)
                for part in (TRAIN, VALIDATION, UNUSED)
            } | {TEST: self.files.test}
        return DataRecord(self.class_names, self.reading, files, self.notes)


def _reading(images: np.ndarray) -> ImageReading | None:
    """Return how to read image files as images (n, height, width, channels), or None."""
    _, height, width, channels = images.shape
    if images.dtype != np.uint8 or channels not in (1, 3):
        return None
    return ImageReading(height, width, mode="L" if channels == 1 else "RGB")


def _part(x: ArrayLike, y: ArrayLike, name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of a part, and check that their numbers agree."""
    images = _images(np.asarray(x), f"{name}: x_{part}")
    labels = _labels(np.asarray(y), f"{name}: y_{part}")
    if len(images) != len(labels):
        raise ValueError(
            f"{name}: x_{part} has {len(images)} images but y_{part} has {len(labels)} labels; "
            "every image needs exactly one label"
        )
    return images, labels


def _check_ranges(train: np.ndarray, test: np.ndarray, name: str) -> None:
    """Check that pixels of both parts are from 0 to 1, or neither's."""
    if train.dtype.kind != "f" or test.dtype.kind != "f":
        return
    small, large = sorted((float(train.max()), float(test.max())))
    if 0 < small <= 1 and large > 20:
        raise ValueError(
            f"{name}: the pixels of x_train are up to {train.max():g}, those of x_test up to "
            f"{test.max():g}; give both in the same units"
        )


def _classes(
    y_train: np.ndarray, y_test: np.ndarray, dataset: str, class_names: Sequence[str] | None
) -> tuple[str, ...]:
    """Check the labels against the class names, or name the classes by their numbers."""
    present = np.unique(y_train)
    if len(present) < 2:
        raise ValueError(
            f"{dataset}: y_train has only class {present[0]}; "
            "classification needs images of at least two classes"
        )
    if class_names is None:
        absent = np.setdiff1d(np.unique(np.concatenate([present, y_test])), present)
        if len(absent) or present[-1] != len(present) - 1:
            raise ValueError(
                f"{dataset}: the labels must be 0..classes-1 with training images of every "
                f"class, but y_train has {len(present)} classes from {present[0]} to "
                f"{present[-1]} and y_test goes up to {y_test.max()}; renumber the labels"
            )
        return tuple(str(label) for label in present)
    names = tuple(composed(str(name)) for name in class_names)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{dataset}: two classes are called {twice[0]!r}; rename one of them")
    for part, labels in (("y_train", y_train), ("y_test", y_test)):
        if labels.max() >= len(names):
            raise ValueError(
                f"{dataset}: {part} has the label {labels.max()}, which is out of range; "
                f"expected 0..{len(names) - 1} ({len(names)} classes)"
            )
    if len(untrained := np.setdiff1d(np.arange(len(names)), present)):
        warnings.warn(
            f"{dataset}: y_train has no image of {some(names[label] for label in untrained)}; the "
            "labels must begin at 0",
            stacklevel=4,
        )
    if len(unlearned := np.setdiff1d(y_test, present)):
        raise ValueError(
            f"{dataset}: y_test has images of the class {names[unlearned[0]]!r}, but y_train has "
            "none; remove them, or move some to the training images"
        )
    return names


def _images(array: np.ndarray, what: str) -> np.ndarray:
    """Return images as an array (n, height, width, channels) of uint8 or finite float32."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(
            f"{what} has shape {array.shape}; expected (n, height, width) or "
            "(n, height, width, channels) with at least one image"
        )
    if array.shape[1] <= 4 and array.shape[3] > 6:
        raise ValueError(
            f"{what} has shape {array.shape}, which looks like channels first; expected "
            "(n, height, width, channels): move the axis with np.moveaxis(x, 1, -1)"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        broken = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))
        if len(broken):
            raise ValueError(
                f"{what} has NaN or infinite pixels in {len(broken)} of {len(array)} images; "
                f"the first is image {broken[0]}; remove or repair them"
            )
    elif array.dtype.kind in "iu":
        if array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
            raise ValueError(
                f"{what} has {array.dtype} pixels from {array.min()} to {array.max()}; "
                "expected 0..255, or a floating-point type for any other range"
            )
        array = array.astype(np.uint8, copy=False)
    else:
        raise ValueError(f"{what} has type {array.dtype}; expected uint8 or floating-point pixels")
    return np.ascontiguousarray(array)


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    """Return labels as an array (n,) of int64, none of them negative."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(
            f"{what} has shape {array.shape}; expected (n,) or (n, 1) with one class number per "
            "image (for one-hot labels: y.argmax(axis=1))"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} has type {array.dtype}; expected integer class numbers")
    if array.min() < 0:
        raise ValueError(f"{what} has the negative label {array.min()}; expected 0..classes-1")
    return array.astype(np.int64)
