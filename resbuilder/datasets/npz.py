"""Read a dataset from an `.npz` file."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
LAYOUT = (
    "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...) with images "
    "(n, height, width, channels) of uint8 and labels (n,) of integers"
)


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None]:
    """Read the arrays of a dataset file.

    Args:
        path: An `.npz` file with x_train, y_train, x_test, y_test and, optionally, class_names
            (an array of strings). Images are used as they are stored (EMNIST must be upright).

    Returns:
        The four arrays by name, and the class names or None.

    Raises:
        ValueError: If the file cannot be read, contains Python objects, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in ARRAYS if key not in file]
            if missing:
                raise ValueError(
                    f"the arrays {', '.join(missing)} are missing, it has {sorted(file)}"
                )
            names = _names(_array(file, "class_names")) if "class_names" in file else None
            return {key: _array(file, key) for key in ARRAYS}, names
    except Exception as error:  # numpy and zipfile raise many kinds of exceptions for broken files.
        raise ValueError(
            f"{path} cannot be used as a dataset: {_reason(path, error)}; write it with {LAYOUT}"
        ) from error


def count_npz(path: Path) -> tuple[int, int]:
    """Return the numbers of training and test images of a dataset file, from its labels."""
    with np.load(path, allow_pickle=False) as file:
        return len(file["y_train"]), len(file["y_test"])


def _array(file: NpzFile, key: str) -> np.ndarray:
    array = file[key]
    if not isinstance(array, np.ndarray):  # numpy returns the bytes of other archive members.
        raise ValueError(f"{key} is not an array")
    return array


def _names(array: np.ndarray) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise ValueError(
            "class_names must be strings of shape (classes,), got "
            f"{array.dtype} of shape {array.shape}"
        )
    return tuple(array.astype(str).tolist())


def _reason(path: Path, error: Exception) -> str:
    """Return what is wrong with a file; numpy's error would call any other file a pickle."""
    if not zipfile.is_zipfile(path):
        return "it is not an npz archive"
    return str(error) or type(error).__name__
