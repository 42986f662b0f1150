"""Find the image files in a folder, with their classes and parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from resbuilder.common.walking import is_broken, missing_target, unreadable, walk
from resbuilder.common.words import composed, some
from resbuilder.datasets.reading import is_picture, large_images
from resbuilder.variants import TEST, TRAIN, VALIDATION

#: Suffixes of image files; for files without a suffix, the content decides.
SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}
#: Names that the folder of a part may have, in upper or lower case.
_PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
_IN_ORDER = (TRAIN, VALIDATION, TEST)
#: Words in the name of a folder that is probably a part.
_PART_WORDS = {*_PART_NAMES, "eval", "evaluation", "dev", "holdout", "pred", "predict"}


class Found(NamedTuple):
    """An image file.

    Attributes:
        path: Its path.
        name: Its path inside the dataset's folder, with slashes.
        label: Number of its class.
    """

    path: Path
    name: str
    label: int


@dataclass(frozen=True)
class Layout:
    """The contents of a folder.

    Attributes:
        classes: Names of the classes, in alphabetical order, as :func:`composed` returns them.
        parts: Files of each part that the folder has, sorted by label and name; if it
            is not divided into parts, all files are in ``TRAIN``.
        passed_over: Names of the visible files that are skipped.
    """

    classes: tuple[str, ...]
    parts: dict[str, list[Found]]
    passed_over: list[str]


def find(path: Path, to_train: bool = True) -> Layout:
    """Find the images in a folder with one sub-folder per class, or with such folders per part.

    Sub-folders are parts if one of them is named as the training part and another as the validation
    or test part, in upper or lower case. A single sub-folder called ``train`` is a class.

    Args:
        path: The folder.
        to_train: Whether it must have what a training needs: two classes and, if it is divided, a
            training part. Otherwise only the test part is read, if there is one, and a folder of
            classes that is called ``test`` may be the only sub-folder.

    Raises:
        ValueError: If there are fewer classes, a class has no images, there are other folders
            next to those of parts, two folders for the same part or class, parts with
            different classes, or links to images or folders that do not exist.
    """
    folders = _folders(path)
    parts = _part_folders(path, folders, to_train)
    if not parts:
        classes, files, passed_over = _classes(path, path, to_train)
        return _checked(Layout(classes, {TRAIN: files}, passed_over))
    if not to_train and TEST in parts:
        parts = {TEST: parts[TEST]}
    read = {part: _classes(parts[part], path, to_train) for part in _IN_ORDER if part in parts}
    first, classes = next((part, classes) for part, (classes, *_) in read.items())
    for part, (others, *_) in read.items():
        if others != classes:
            odd = ", ".join(sorted(set(others) ^ set(classes)))
            raise ValueError(
                f"{path}: the folders for {first} and {part} must have the same classes, but {odd} "
                "is only in one of them"
            )
    found = {part: files for part, (_, files, _) in read.items()}
    passed_over = [*_loose(path, path), *(name for *_, other in read.values() for name in other)]
    return _checked(Layout(classes, found, passed_over))


def _checked(layout: Layout) -> Layout:
    """Return a layout whose files exist, with names in UTF-8, as a run records them."""
    found = [file for files in layout.parts.values() for file in files]
    for file in found:
        try:
            file.name.encode()
        except UnicodeEncodeError:
            shown = file.name.encode(errors="backslashreplace").decode()
            raise ValueError(f"the name {shown} is not valid UTF-8; rename the file") from None
    _refuse_broken([file.path for file in found])
    return layout


def _refuse_broken(paths: list[Path]) -> None:
    """Raise ValueError if a path is a link to nothing: a class would lack images silently."""
    broken = [path for path in paths if is_broken(path)]
    if broken:
        several = f"; links to nothing: {len(broken)}" if len(broken) > 1 else ""
        raise ValueError(f"{broken[0]} is {missing_target(broken[0])}{several}")


def pictures_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the image files in and below a folder, and the other visible files, both sorted.

    A broken link is taken for an image unless its suffix says otherwise. Reading it fails.
    """
    pictures: list[Path] = []
    others: list[Path] = []
    with large_images():
        for file in sorted(_visible(folder)):
            suffix = file.suffix.lower()
            picture = suffix in SUFFIXES or (not suffix and (is_broken(file) or is_picture(file)))
            (pictures if picture else others).append(file)
    return pictures, others


def _part_folders(path: Path, folders: list[Path], to_train: bool) -> dict[str, Path]:
    """Return the folders of parts by part; none if the folders are classes."""
    parts: dict[str, Path] = {}
    named = [folder for folder in folders if folder.name.casefold() in _PART_NAMES]
    alone = len(named) == len(folders) == 1 and not to_train and _folders(named[0])
    if len(named) < 2 and not alone:
        _refuse_unnamed_parts(path, folders)
        return {}
    listed = ", ".join(folder.name for folder in folders)
    for folder in named:
        part = _PART_NAMES[folder.name.casefold()]
        if part in parts:
            raise ValueError(f"{path} has {listed}: two folders for {part}; keep only one of them")
        parts[part] = folder
    if to_train and TRAIN not in parts:
        raise ValueError(
            f"{path} has {listed}, but no folder train; add it, or rename them if they are classes"
        )
    if len(named) < len(folders):
        raise ValueError(
            f"{path} has {listed}; expected either classes, or only folders for training, "
            "validation and test; move the other folders elsewhere"
        )
    return parts


def _refuse_unnamed_parts(path: Path, folders: list[Path]) -> None:
    """Raise ValueError if folders are probably parts, although their names do not say so.

    They are if one has a name such as ``seg_train`` or ``eval``, and it has the same sub-folders as
    another one. Otherwise parts would be taken for classes.
    """
    words = {f: set(re.split(r"[^a-z]+", f.name.casefold())) for f in folders}
    suspects = [f for f in folders if words[f] & _PART_WORDS]
    # Only then, because listing a large folder takes time.
    inside = {f: {sub.name for sub in _folders(f)} for f in folders} if suspects else {}
    for folder in suspects:
        alike = [f for f in folders if len(inside[f]) > 1 and inside[f] == inside[folder]]
        if len(alike) > 1:
            raise ValueError(
                f"{path} has {some(f.name for f in alike)}, which all have the folders "
                f"{some(sorted(inside[folder]))}: they look like parts, not classes. Rename parts "
                "to train, val and test, and move other folders elsewhere"
            )


def _classes(
    path: Path, top: Path, to_train: bool
) -> tuple[tuple[str, ...], list[Found], list[str]]:
    """Return the names of the class folders, their images, and the names of all other files."""
    folders = _folders(path)
    if len(folders) < (2 if to_train else 1):
        found = f"one, {folders[0].name}" if folders else "none"
        wanted = "at least two sub-folders" if to_train else "sub-folders"
        raise ValueError(f"{path} must have {wanted} of images, one per class; found {found}")
    named: dict[str, Path] = {}
    for folder in folders:
        name = composed(folder.name)
        if name in named:
            raise ValueError(
                f"{path} has two folders called {name}, whose names differ only in how Unicode "
                "writes them; move the images of both into one folder"
            )
        named[name] = folder
    classes = tuple(sorted(named))
    files, passed_over = [], _loose(path, top)
    for label, folder in enumerate(named[name] for name in classes):
        pictures, others = pictures_below(folder)
        inside = [Found(file, file.relative_to(top).as_posix(), label) for file in pictures]
        passed_over += [file.relative_to(top).as_posix() for file in others]
        if not inside:
            raise ValueError(
                f"{folder} contains no images ({', '.join(sorted(SUFFIXES))}); add some, or remove "
                "the folder"
            )
        files += sorted(inside, key=lambda file: file.name)
    return classes, files, passed_over


def _folders(path: Path) -> list[Path]:
    """Return the visible sub-folders, sorted."""
    visible = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    # What a broken link without a suffix leads to may be the folder of a class.
    _refuse_broken([p for p in visible if not p.suffix])
    return [p for p in visible if p.is_dir()]


def _loose(path: Path, top: Path) -> list[str]:
    """Return the names of the visible files directly in a folder."""
    files = (p for p in path.iterdir() if _is_file(p) and not p.name.startswith("."))
    return sorted(file.relative_to(top).as_posix() for file in files)


def _is_file(path: Path) -> bool:
    """Return whether a path is a file or a link to nothing, which must not be ignored."""
    return path.is_file() or is_broken(path)


def _visible(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, and behind links in it, that are not hidden."""
    for here, folders, names in walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (Path(here, name) for name in names if not name.startswith("."))
        yield from (path for path in visible if _is_file(path))
