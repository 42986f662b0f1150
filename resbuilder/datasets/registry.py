"""Load datasets by name or path, and list those that are known or on this machine."""

import difflib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbuilder.datasets import labels, sources
from resbuilder.datasets.data_record import DataRecord
from resbuilder.datasets.dataset import Dataset
from resbuilder.datasets.downloads import DOWNLOADS
from resbuilder.datasets.folder import read_folder, sizes
from resbuilder.datasets.npz import LAYOUT, read_npz

VARIABLE = "RESBUILDER_DATA"


@dataclass(frozen=True)
class _Known:
    """What is known about a dataset before it is read."""

    description: str
    train: int
    test: int
    shape: tuple[int, int, int]
    class_names: Sequence[str] | None  # None: named by the source.
    scaling: str = "unit"
    classes: int = 10


_KNOWN = {
    "digits": _Known("handwritten digits, scikit-learn", 1438, 359, (8, 8, 1), labels.DIGITS),
    "mnist": _Known("handwritten digits", 60_000, 10_000, (28, 28, 1), labels.DIGITS),
    "fashion_mnist": _Known("articles of clothing", 60_000, 10_000, (28, 28, 1), labels.FASHION),
    "emnist": _Known(
        "handwritten characters by class", 697_932, 116_323, (28, 28, 1), labels.EMNIST, classes=62
    ),
    "cifar10": _Known(
        "objects and animals", 50_000, 10_000, (32, 32, 3), labels.CIFAR10, "standardize"
    ),
    "cifar100": _Known(
        "objects and animals", 50_000, 10_000, (32, 32, 3), labels.CIFAR100, "standardize", 100
    ),
    "smallnorb": _Known(
        "toys, one camera", 24_300, 24_300, (96, 96, 1), labels.SMALLNORB, classes=5
    ),
    "animals10": _Known(
        "photographs of animals", 20_943, 5_236, (300, 300, 3), None, "standardize"
    ),
}


@dataclass(frozen=True)
class Listing:
    """An entry of `available`.

    Attributes:
        name: Name for `load`.
        description: What the images show.
        train: Number of training images; None for a user's own data, which are not opened.
        test: Number of test images, or None.
        shape: Height, width and channels, or None.
        classes: Number of classes, or None.
        where: Path on this machine; None if `load` would have to download the data.
    """

    name: str
    description: str
    train: int | None
    test: int | None
    shape: tuple[int, int, int] | None
    classes: int | None
    where: str | None


def names() -> tuple[str, ...]:
    """Return the names of the known datasets."""
    return tuple(_KNOWN)


def available(data_dir: str | Path | None = None) -> list[Listing]:
    """List the known datasets, then the user's `.npz` files and image folders in the data folder.

    Args:
        data_dir: The data folder; by default that in the variable RESBUILDER_DATA.

    Returns:
        One entry per dataset.
    """
    base = data_folder(data_dir)
    found = [
        Listing(name, k.description, k.train, k.test, k.shape, k.classes, _where(name, base))
        for name, k in _KNOWN.items()
    ]
    for path in sorted(base.iterdir()) if base else []:
        own = path.suffix == ".npz" or _has_folders(path)
        name = path.stem if path.suffix == ".npz" else path.name
        if own and name not in _KNOWN and not name.startswith("."):
            found.append(Listing(name, "own data", None, None, None, None, str(path)))
    return found


def load(
    name: str | Path,
    data_dir: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    ela_quality: int | None = None,
    fit: str = "stretch",
    record: DataRecord | None = None,
) -> Dataset:
    """Load a dataset.

    The name is looked up in this order: `<name>.npz` in the data folder; a known name; a folder of
    images of that name in the data folder; a path to an `.npz` file or a folder of images. Only
    known datasets are downloaded, and only if they are not on this machine.

    Args:
        name: One of `names()`, the name of a user's data in the data folder, or a path.
        data_dir: The data folder; by default that in the variable RESBUILDER_DATA.
        image_size: For folders of images: side, or (height, width), to resize to. By default,
            Animals10 is resized to 300x300, and other folders keep their size.
        ela_quality: For folders of images: add error level analysis as channels, at this JPEG
            quality.
        fit: For folders of images: how to resize images of a different shape, see
            :class:`.ImageReading`.
        record: For folders of images: what a run recorded about its data. Image files are read in
            the same way. If it lists files, exactly these are loaded, each into its recorded part.

    Returns:
        The dataset.

    Raises:
        ValueError: If the name is unknown, the data are missing and cannot be downloaded, or the
            data are not usable; the message says what to do.
    """
    base = data_folder(data_dir)
    name = str(name)
    known, path = _KNOWN.get(name), _find(name, base)
    if path is None or path.is_file():
        if image_size is not None:
            raise ValueError(f"image_size is for folders of images, but {name} is not one")
        if ela_quality is not None:
            raise ValueError(f"ela_quality is for folders of images, but {name} is not one")
        if fit != "stretch":
            raise ValueError(f"fit is for folders of images, but {name} is not one")
    class_names, of_folder = None, dict[str, Any]()
    if path is None:
        arrays = _read_known(name, base)
    elif path.is_file():
        arrays, class_names = read_npz(path)
    else:
        default = known.shape[:2] if known else None
        size = default if image_size is None else image_size
        found = read_folder(path, size, ela_quality, fit, record, by_order=known is not None)
        arrays, class_names = found.arrays, found.classes
        of_folder = {"reading": found.reading, "files": found.files, "notes": found.notes}
    return Dataset(
        name=name if known or path is None else path.resolve().name.removesuffix(".npz"),
        class_names=class_names or (known.class_names if known else None),
        scaling=known.scaling if known else "standardize",
        **arrays,
        **of_folder,
    )


def check_found(name: str | Path, data_dir: str | Path | None = None) -> None:
    """Check that :func:`load` finds a dataset, or knows from where to download it.

    Args:
        name: As for :func:`load`.
        data_dir: As for :func:`load`.

    Raises:
        ValueError: If not, as :func:`load` does.
    """
    _find(str(name), data_folder(data_dir))


def folder_of(name: str | Path, data_dir: str | Path | None = None) -> Path | None:
    """Return the folder of images that :func:`load` reads; None for other datasets.

    Args:
        name: As for :func:`load`.
        data_dir: As for :func:`load`.
    """
    path = _local(str(name), data_folder(data_dir))
    return path if path is not None and path.is_dir() else None


def is_own_folder(name: str | Path, data_dir: str | Path | None = None) -> bool:
    """Return whether a dataset is a folder of images and not a known dataset.

    Args:
        name: As for :func:`load`.
        data_dir: As for :func:`load`.
    """
    return str(name) not in _KNOWN and folder_of(name, data_dir) is not None


def image_sizes(
    name: str | Path, data_dir: str | Path | None = None
) -> list[tuple[int, int]] | None:
    """Return the (height, width) of each image of a folder; None for other datasets.

    Args:
        name: As for :func:`load`.
        data_dir: As for :func:`load`.

    Raises:
        ValueError: If the folder is not a folder of images, or an image cannot be read.
    """
    folder = folder_of(name, data_dir)
    return None if folder is None else sizes(folder)


def absolute_name(name: str, data_dir: str | Path | None = None) -> str:
    """Return the name with which :func:`load` finds the same dataset from any working directory.

    Args:
        name: As for :func:`load`.
        data_dir: As for :func:`load`.

    Raises:
        ValueError: If the data folder is not a folder.
    """
    base = data_folder(data_dir)
    path = _local(name, base)
    # A path with slashes is never looked up in the data folder.
    in_data_folder = base is not None and path is not None and path.parent == base
    if path is None or name in _KNOWN or (in_data_folder and name == Path(name).name):
        return name
    return str(path.absolute())


def data_folder(data_dir: str | Path | None) -> Path | None:
    """Return the data folder, or None if neither the argument nor the variable names one."""
    given = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    if not given:
        return None
    base = _path(given)
    if not os.path.isdir(base):
        source = "data_dir" if data_dir is not None else VARIABLE
        raise ValueError(f"{source} is {base}, which is not a folder; create it or name another")
    return base


def _find(name: str, base: Path | None) -> Path | None:
    """Return the file or folder of a dataset; None for a known dataset of another source.

    Raises:
        ValueError: If it is neither here nor can be downloaded.
    """
    path = _local(name, base)
    if path is None and name not in _KNOWN:
        raise _unknown(name, base)
    if path is None and name == "animals10":
        raise _missing(name, "it has no automatic download")
    return path


def _local(name: str, base: Path | None) -> Path | None:
    """Return the `.npz` file or the folder of images for a name, or None."""
    # Unlike those of Path, the functions of os.path take a name that is too long for no file.
    folders: list[Path] = []
    if base is not None and name == Path(name).name:
        if os.path.isfile(base / f"{name}.npz"):
            return base / f"{name}.npz"
        folders = [base / name / "raw-img", base / name]  # Kaggle's layout of Animals10.
    if name == "animals10":
        return next(filter(os.path.isdir, folders), None)
    if name in _KNOWN:
        if _has_folders(Path(name)):
            warnings.warn(
                f"{name} is a dataset that resbuilder knows; for the folder {name} in the current "
                f"folder, write {Path('.', name).absolute()}",
                stacklevel=2,
            )
        return None
    path = _path(name)
    if path.suffix == ".npz" and os.path.isfile(path):
        return path
    return next(filter(os.path.isdir, (*folders[1:], path)), None)


def _path(text: str | Path) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text}: this home folder is unknown; give the full path") from None


def _has_folders(path: Path) -> bool:
    """Return whether a path is a readable folder with sub-folders."""
    try:
        return any(inside.is_dir() for inside in path.iterdir())
    except OSError:
        return False


def _where(name: str, base: Path | None) -> str | None:
    """Return where a known dataset is on this machine, or None."""
    path = _local(name, base)
    if path is None and name in sources.KERAS:
        path = sources.find_keras(name)
    if path is None and name in sources.TFDS:
        path = sources.find_tfds(name, base)
    if path is None:
        return "scikit-learn" if name == "digits" else None
    return str(path)


def _read_known(name: str, base: Path | None) -> dict:
    """Read a known dataset from its source."""
    try:
        if name == "digits":
            return sources.read_digits()
        if name in sources.KERAS:
            return sources.read_keras(name)
        return sources.read_tfds(name, base)
    except sources.NotHereError as error:
        raise _missing(name, str(error)) from error


def _unknown(name: str, base: Path | None) -> ValueError:
    """Return the error for a name that is neither a known dataset nor an existing path."""
    if name != Path(name).name or name.endswith(".npz"):
        kind = "file" if name.endswith(".npz") else "folder"
        return ValueError(
            f"no such {kind}: {_path(name)}; give a folder of images (one sub-folder per class) or "
            "an .npz file"
        )
    own = (
        [path.stem if path.suffix == ".npz" else path.name for path in base.iterdir()]
        if base
        else []
    )
    near = difflib.get_close_matches(name, [*_KNOWN, *own], 3, cutoff=0.5)
    meant = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else "."
    places = " or ".join(str(place) for place in (Path.cwd(), base) if place is not None)
    return ValueError(
        f"unknown dataset {name!r}{meant} Known datasets are {', '.join(_KNOWN)}. No folder "
        f"{name!r} exists in {places}. For your own data, give the path of a folder of images (one "
        f"sub-folder per class), or put {name}.npz into data_dir or the folder in {VARIABLE}"
    )


def _missing(name: str, reason: str) -> ValueError:
    """Return the error that says which files to download, and what to do with them."""
    reason = " ".join(reason.split())[:300]  # One line, whatever the libraries write.
    download = DOWNLOADS[name]
    images = ", or images in animals10/<class>/," if name == "animals10" else ""
    return ValueError(
        f"{name} is not on this machine ({reason}). Download {', '.join(download.files)} from "
        f"{download.page} and run `resbuilder datasets prepare {name} FILES`; or put "
        f"{name}.npz{images} into data_dir or the folder in {VARIABLE}, written with {LAYOUT}"
    )
