"""Convert the files that users download into datasets that :func:`.load` can read."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from resbuilder.common.files import atomically
from resbuilder.common.replacing import begins_otherwise, check_place
from resbuilder.datasets import labels
from resbuilder.datasets.downloads import ANIMALS, DOWNLOADS, EMNIST, IDX, NORB, Download
from resbuilder.datasets.formats import read_cifar, read_idx, read_norb
from resbuilder.datasets.progress import progress
from resbuilder.datasets.registry import data_folder

_BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, KeyError)


def prepare(
    name: str,
    files: Sequence[str | Path],
    data_dir: str | Path | None = None,
    *,
    overwrite: bool = False,
    verify: bool = True,
) -> Path:
    """Write a known dataset to the data folder, from the files that its web page offers.

    EMNIST is stored with rows and columns exchanged, so its images are transposed. Of SmallNORB's
    stereo pairs, only the first camera is used, and of its labels only the category.

    Args:
        name: A key of ``DOWNLOADS``.
        files: The downloaded files, still packed, or folders that contain them.
        data_dir: Where to write; by default the folder in the variable RESBUILDER_DATA.
        overwrite: Whether to replace ``<name>.npz`` if it exists.
        verify: Whether to check the SHA-256 of each file, if one is published.

    Returns:
        The path ``<data_dir>/<name>.npz``, or for Animals10 the folder ``<data_dir>/animals10``.

    Raises:
        ValueError: If the dataset is unknown, a file is missing or is not the published one, or no
            folder to write to is given.
    """
    download = DOWNLOADS.get(name)
    if download is None:
        raise ValueError(f"name must be one of {', '.join(DOWNLOADS)}, got {name!r}")
    folder = data_folder(data_dir)
    if folder is None:
        raise ValueError("no folder to write to: give data_dir=, or set RESBUILDER_DATA")
    path = folder / (name if name == "animals10" else f"{name}.npz")
    if name == "animals10":
        check_place(path, False, lambda _: None, "delete it to prepare it again")
    else:
        check_place(path, overwrite, _not_npz, "give overwrite= to replace it")
    found = _find(name, download, files)
    if verify:
        _verify(download, found)
    try:
        if name == "animals10":
            return _unpack_animals(found["archive.zip"], path)
        arrays = _read(name, found)
    except _BROKEN as error:
        where = ", ".join(map(str, found.values()))
        raise ValueError(
            f"{where} cannot be read ({type(error).__name__}: {error}); "
            f"download it again from {download.page}"
        ) from error
    _check(name, arrays)
    with atomically(path) as part:
        np.savez(part, **arrays, class_names=np.array(_CLASSES[name]))  # type: ignore[arg-type]  # numpy's stub takes the keywords for its own
    return path


_CLASSES = {
    "mnist": labels.DIGITS,
    "fashion_mnist": labels.FASHION,
    "emnist": labels.EMNIST,
    "cifar10": labels.CIFAR10,
    "cifar100": labels.CIFAR100,
    "smallnorb": labels.SMALLNORB,
}


def _not_npz(path: Path) -> str | None:
    return begins_otherwise(path, "PK")


def _find(name: str, download: Download, files: Sequence[str | Path]) -> dict[str, Path]:
    """Return the path of each file of a download by its published name."""
    given: list[Path] = []
    for item in map(Path, files):
        if not item.exists():
            raise ValueError(f"no such file or folder: {item}")
        given += sorted(item.iterdir()) if item.is_dir() else [item]
    if name == "animals10":  # Kaggle's file is called archive.zip, so users may rename it.
        zips = [path for path in given if path.suffix == ".zip"]
        if len(zips) != 1:
            raise ValueError(
                f"animals10 needs exactly one zip file, got {len(zips)}; download it from "
                f"{download.page}"
            )
        return {"archive.zip": zips[0]}
    found = {path.name: path for path in given if path.name in download.files}
    if missing := [wanted for wanted in download.files if wanted not in found]:
        other = ", ".join(path.name for path in given[:3]) or "nothing"
        raise ValueError(
            f"{name} also needs {', '.join(missing)}, still packed, from {download.page}; "
            f"found {other}"
        )
    return found


def _verify(download: Download, found: dict[str, Path]) -> None:
    for name, path in progress(found.items(), len(found), "checking files"):
        published = download.files[name]
        if published is None:
            continue
        with open(path, "rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != published:
            raise ValueError(
                f"{path} is not the published file: its SHA-256 is {actual}, expected {published}. "
                f"Download it again from {download.page}, or skip this check"
            )


def _read(name: str, found: dict[str, Path]) -> dict[str, np.ndarray]:
    """Return the four arrays of a dataset that is not a folder of images."""
    if name in ("mnist", "fashion_mnist"):
        arrays = {key: read_idx(_gunzip(found[file]), file) for key, file in IDX.items()}
    elif name == "smallnorb":
        arrays = {key: read_norb(_gunzip(found[file]), file) for key, file in NORB.items()}
        for part in ("train", "test"):
            arrays[f"x_{part}"] = arrays[f"x_{part}"][:, 0]
            arrays[f"y_{part}"] = arrays[f"y_{part}"].reshape(-1).astype(np.uint8)
    elif name == "emnist":
        with zipfile.ZipFile(found["gzip.zip"]) as archive:
            arrays = {
                key: read_idx(gzip.decompress(archive.read(member)), member)
                for key, member in progress(EMNIST.items(), len(EMNIST), "reading emnist")
            }
        for part in ("train", "test"):
            arrays[f"x_{part}"] = arrays[f"x_{part}"].swapaxes(1, 2)
    else:
        return _read_cifar(name, next(iter(found.values())))
    return {key: a[..., None] if key.startswith("x") else a for key, a in arrays.items()}


def _read_cifar(name: str, path: Path) -> dict[str, np.ndarray]:
    if name == "cifar10":
        parts = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    else:
        parts = {"train": ["train.bin"], "test": ["test.bin"]}
    contents = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                contents[PurePosixPath(member.name).name] = file.read()
    arrays = {}
    for part, files in parts.items():
        fine = 1 if name == "cifar10" else 2
        read = [read_cifar(contents[file], fine, f"{path}: {file}") for file in files]
        arrays[f"x_{part}"] = np.concatenate([images for images, _ in read])
        arrays[f"y_{part}"] = np.concatenate([own for _, own in read])
    return arrays


def _gunzip(path: Path) -> bytes:
    with gzip.open(path) as file:
        return file.read()


def _check(name: str, arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError if the arrays do not fit each other or the classes."""
    classes = len(_CLASSES[name])
    for part in ("train", "test"):
        images, own = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.ndim != 4 or own.ndim != 1 or len(images) != len(own):
            raise ValueError(
                f"{name}: images {images.shape} and labels {own.shape} of the {part} part do not "
                "fit each other"
            )
        if own.size and int(own.max()) >= classes:
            raise ValueError(f"{name} has {classes} classes, but a {part} label is {own.max()}")


def _unpack_animals(path: Path, folder: Path) -> Path:
    """Write the images in ``raw-img/<class>`` to one folder per class, with English names."""
    with zipfile.ZipFile(path) as archive:
        members = [(m, _animal(m)) for m in archive.namelist()]
        images = [(member, name) for member, name in members if name is not None]
        lacking = sorted(set(ANIMALS) - {PurePosixPath(member).parent.name for member, _ in images})
        if lacking:
            raise ValueError(
                f"{path} is not Animals10: it has no images in raw-img/{', raw-img/'.join(lacking)}"
            )
        # Unpacked to a temporary folder and then renamed, so that no incomplete folder remains.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".animals10.") as part:
            for name in ANIMALS.values():
                (Path(part) / folder.name / name).mkdir(parents=True)
            for member, name in progress(images, len(images), "unpacking animals10"):
                to = Path(part) / folder.name / name / PurePosixPath(member).name
                with archive.open(member) as source, open(to, "wb") as target:
                    shutil.copyfileobj(source, target)
            (Path(part) / folder.name).rename(folder)
    return folder


def _animal(member: str) -> str | None:
    """Return the English class of an image in the archive; None for other members."""
    place = PurePosixPath(member)
    known = place.parent.parent.name == "raw-img" and not member.endswith("/")
    return ANIMALS.get(place.parent.name) if known else None
