"""The one form every source is brought into, and the checks every source must pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SCALINGS = ("unit", "standardize")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with labels, checked and in one layout.

    Whoever constructs it may pass grey images without a channel axis, labels of shape (n, 1), wider
    integer types and `class_names=None` (classes are then called by their numbers); the fields
    always have the form below.

    Attributes:
        name: What the dataset is called in reports.
        x_train: Raw pixels (n, height, width, channels); uint8, or float32 if the source has
            floats.
        y_train: Labels (n,), int64 in 0..classes-1.
        x_test: As `x_train`.
        y_test: As `y_train`.
        class_names: One name per class, in the order of the labels.
        scaling: How `Preprocessing.fit` scales the pixels: "unit" or "standardize".

    Raises:
        ValueError: If an array has the wrong shape or type, images and labels differ in number,
            pixels are not finite, or labels are not 0..classes-1.
    """

    name: str
    x_train: np.ndarray = field(repr=False)
    y_train: np.ndarray = field(repr=False)
    x_test: np.ndarray = field(repr=False)
    y_test: np.ndarray = field(repr=False)
    class_names: Sequence[str] | None
    scaling: str = "standardize"

    def __post_init__(self):
        """Brings the arrays into the documented form and checks them."""
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {SCALINGS}, not {self.scaling!r}")
        values = {}
        for part in ("train", "test"):
            x, y = f"x_{part}", f"y_{part}"
            values[x] = _images(getattr(self, x), f"{self.name}: {x}")
            values[y] = _labels(getattr(self, y), f"{self.name}: {y}")
            if len(values[x]) != len(values[y]):
                raise ValueError(
                    f"{self.name}: {x} holds {len(values[x])} images but {y} {len(values[y])} "
                    "labels; every image needs exactly one label"
                )
        train, test = values["x_train"], values["x_test"]
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                f"{self.name}: x_train has images of {train.shape[1:]} {train.dtype} but x_test of "
                f"{test.shape[1:]} {test.dtype}; both must be the same"
            )
        values["class_names"] = self._classes(values["y_train"], values["y_test"])
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _classes(self, y_train: np.ndarray, y_test: np.ndarray) -> tuple[str, ...]:
        """Checks the labels against the names, or names the classes by their numbers."""
        present = np.unique(y_train)
        if len(present) < 2:
            raise ValueError(
                f"{self.name}: y_train holds only class {present[0]}; "
                "classification needs images of at least two classes"
            )
        if self.class_names is None:
            absent = np.setdiff1d(np.unique(np.concatenate([present, y_test])), present)
            if len(absent) or present[-1] != len(present) - 1:
                raise ValueError(
                    f"{self.name}: the labels must be 0..classes-1 with training images of every "
                    f"class, but y_train has {len(present)} classes from {present[0]} to "
                    f"{present[-1]} and y_test goes up to {y_test.max()}; renumber the labels"
                )
            return tuple(str(label) for label in present)
        names = tuple(str(name) for name in self.class_names)
        for part, labels in (("y_train", y_train), ("y_test", y_test)):
            if labels.max() >= len(names):
                raise ValueError(
                    f"{self.name}: {part} has a label {labels.max()}, out of range; "
                    f"expected 0..{len(names) - 1} ({len(names)} classes)"
                )
        return names

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return tuple(int(side) for side in self.x_train.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def _images(array: np.ndarray, what: str) -> np.ndarray:
    """Returns (n, height, width, channels) of uint8 or finite float32."""
    array = np.asarray(array)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(
            f"{what} has shape {array.shape}; expected (n, height, width) or "
            "(n, height, width, channels) with at least one image"
        )
    if array.shape[1] in (1, 3) and array.shape[3] > 6:
        raise ValueError(
            f"{what} has shape {array.shape}, which looks like channels first; expected "
            "(n, height, width, channels): move the axis with np.moveaxis(x, 1, -1)"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        broken = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))
        if len(broken):
            raise ValueError(
                f"{what} has NaN or infinite pixels in {len(broken)} of {len(array)} images, "
                f"the first is image {broken[0]}; remove or repair them"
            )
    elif array.dtype.kind in "iu":
        if array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
            raise ValueError(
                f"{what} has {array.dtype} pixels from {array.min()} to {array.max()}; "
                "expected 0..255, or floating point for any other range"
            )
        array = array.astype(np.uint8, copy=False)
    else:
        raise ValueError(f"{what} has type {array.dtype}; expected uint8 or floating point pixels")
    return np.ascontiguousarray(array)


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    """Returns (n,) of int64, none negative."""
    array = np.asarray(array)
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
        raise ValueError(f"{what} has a negative label {array.min()}; expected 0..classes-1")
    return array.astype(np.int64)
