"""The images made by ``survival preprocess``, found by the names of their slides."""

from __future__ import annotations

import contextlib
import copy
import csv
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from resbuilder.common.words import count, some
from survival.cohort.duplicates import contents_of_files
from survival.names import MANIFEST, NOTES, find_slides
from survival.scale import differ, span

# If all decoded images need at most CACHE bytes, they are kept in memory. Otherwise several threads
# decode them each time.
CACHE, THREADS = 2**28, 4
# Batches of up to this many bytes are assembled in advance.
BATCH = 2**28
# Pixels whose activations in a network are in memory at a time.
PIXELS = 5_000_000


class CanvasImages:
    """Images of slides, all of the same size, decoded when they are needed.

    Args:
        folder: Output folder of ``survival preprocess``. Without its manifest, the image of
            ``a/b.svs`` is the file ``a/b.png``.
        slides: Names of the slides, as in the cohort, shape (n,). Each is a path of the manifest,
            or the end of exactly one of its paths.

    Attributes:
        paths: The images' files, in the order of the slides.
        contents: A text for each slide that is the same for copies of one slide, ``""`` if
            unknown.
        scales: µm per pixel of each image, float array (n,), NaN if unknown.
        shape: Height, width and channels of every image.

    Raises:
        ValueError: A slide has no image (with the reason, if it failed), an image cannot be read,
            or images have different sizes.
    """

    def __init__(self, folder: str | Path, slides: Iterable[str]):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(
                f"the folder of images {folder} does not exist; run `survival preprocess` first"
            )
        self.paths, notes = _find(self.folder, list(slides))
        self.contents = [_content(n) for n in notes]
        self.scales = np.array([_scale(n, self.folder) for n in notes])
        sizes = {path: _size(path) for path in self.paths}
        if len(set(sizes.values())) > 1:
            first, *others = dict.fromkeys(sizes.values())
            example = next(path for path in self.paths if sizes[path] == others[0])
            raise ValueError(
                f"all images must have the same size, but {self.paths[0]} has "
                f"{first[0]}x{first[1]} pixels and {example} has {others[0][0]}x{others[0][1]}: "
                "preprocess all slides with the same --canvas"
            )
        width, height = sizes[self.paths[0]]
        self.shape = (height, width, 3)
        self._kept: dict[Path, np.ndarray] | None = (
            {} if len(sizes) * width * height * 3 <= CACHE else None
        )

    def select(self, rows: np.ndarray) -> CanvasImages:
        """Return the images that a boolean mask or an array of positions selects."""
        chosen = copy.copy(self)  # shares the images in memory
        picked = np.arange(len(self.paths))[rows]
        chosen.paths = [self.paths[i] for i in picked]
        chosen.contents = [self.contents[i] for i in picked]
        chosen.scales = self.scales[picked]
        return chosen

    @property
    def scale(self) -> float | None:
        """Median of the known scales in µm per pixel, None if none is known."""
        known = self._known_scales()
        return round(float(np.median(known)), 4) if len(known) else None

    def warn_of_scales(self, expected: float | None = None) -> None:
        """Warn if the images have different scales, or other ones than those expected.

        Args:
            expected: µm per pixel of the images that a network was trained on, None if unknown.
        """
        known = self._known_scales()
        if not len(known):
            return
        has = f"the images in {self.folder} have {span(known)} µm per pixel"
        if differ(known):
            warnings.warn(
                f"{has}, so a network sees their tissue at different sizes; `survival preprocess "
                "--mpp` gives all images the same scale",
                stacklevel=3,
            )
        elif expected is not None and differ([expected, *known]):
            warnings.warn(
                f"{has}, but the network was trained on images of {expected:.3g}, so it sees "
                "tissue at another size; preprocess these slides with the same --mpp",
                stacklevel=3,
            )

    def _known_scales(self) -> np.ndarray:
        return self.scales[np.isfinite(self.scales)]

    def fingerprint(self) -> str:
        """Return the SHA-256 of the images' names and file sizes, to recognize other images."""
        files = ((path.relative_to(self.folder), path.stat().st_size) for path in self.paths)
        text = "".join(f"{name.as_posix()}\0{size}\n" for name, size in files)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def check(self) -> None:
        """Read every file whole, and compare its checksums, without decoding it.

        Raises:
            ValueError: If a file is damaged, for example truncated by an interrupted copy.
        """
        for path in dict.fromkeys(self.paths):
            with _undamaged(path) as image:
                image.verify()

    @property
    def threads(self) -> int:
        """Number of threads that should decode: more than one if images are not kept in memory."""
        return THREADS if self._kept is None else 1

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the image of a slide, uint8 of shape ``shape``; do not modify it."""
        path = self.paths[row]
        if self._kept is None:
            return _decode(path)
        if path not in self._kept:
            self._kept[path] = _decode(path)
        return self._kept[path]


def slides_in(folder: str | Path) -> tuple[list[str], dict[str, str]]:
    """Return the slides in a folder's manifest: with an image, and without one.

    Returns:
        The slides with an image, at least one, and the reason why by the slide without one.

    Raises:
        ValueError: If the folder has no manifest, or no slide has an image.
    """
    manifest = Path(folder) / MANIFEST
    if not manifest.is_file():
        raise ValueError(
            f"{folder} has no {MANIFEST}, so its slides are not known: name them, or run `survival "
            "preprocess` first"
        )
    rows = _rows(manifest)
    without = {slide: _reason(row) for slide, row in rows.items() if _failed(row)}
    if not rows:
        raise ValueError(f"{manifest} lists no slides: run `survival preprocess` first")
    if len(without) == len(rows):
        raise ValueError(
            f"{manifest} lists no slide with an image: {some(_with_reasons(without))}; correct "
            "this, and run `survival preprocess` again"
        )
    return [slide for slide in rows if slide not in without], without


def warn_without_image(without: Mapping[str, str]) -> None:
    """Warn of slides that get no risk score.

    Args:
        without: The reason by the slide, as from :func:`slides_in`.
    """
    if without:
        have, get = ("has", "gets") if len(without) == 1 else ("have", "get")
        warnings.warn(
            f"{count(len(without), 'slide')} {have} no image and {get} no score: "
            f"{some(_with_reasons(without))}",
            stacklevel=3,
        )


def _with_reasons(without: Mapping[str, str]) -> list[str]:
    return [f"{slide} ({reason})" for slide, reason in without.items()]


def _failed(row: dict) -> bool:
    return row.get("status", "ok") != "ok"


def _reason(row: dict) -> str:
    return row.get("reason") or f"status {row['status'] or 'empty'}"


def at_a_time(shape: tuple[int, int, int]) -> int:
    """Return how many images (height, width, channels) are processed by a network at a time."""
    return max(1, PIXELS // (shape[0] * shape[1]))


def _find(folder: Path, slides: list[str]) -> tuple[list[Path], list[dict]]:
    """Return the image of each slide, and what is noted on it (the columns of the manifest)."""
    if not slides:
        raise ValueError("the cohort has no slides")
    manifest = folder / MANIFEST
    if not manifest.exists():
        paths = [folder / PurePosixPath(slide).with_suffix(".png") for slide in slides]
        _refuse_same_image(slides, paths)
        missing = [s for s, path in zip(slides, paths, strict=True) if not os.path.isfile(path)]
        _refuse(missing, f"no image in {folder}, which has no {MANIFEST} (run `survival "
                "preprocess` first)")  # fmt: skip
        return paths, [_noted(path) for path in paths]
    listed = _rows(manifest)
    files = find_slides(slides, listed, str(manifest))
    rows = {slide: listed[file] for slide, file in files.items()}
    if unknown := [s for s in slides if s not in rows]:
        example = f"which has, for example, {next(iter(listed))}" if listed else "which is empty"
        _refuse(unknown, f"not in {manifest} ({example})")
    failed = {s: _reason(rows[s]) for s in slides if _failed(rows[s])}
    _refuse(_with_reasons(failed), f"failed according to {manifest}")
    outside = [s for s in slides if not _is_below(rows[s]["output"])]
    _refuse(outside, f"an image outside of {folder} according to {manifest}")
    missing = [s for s in slides if not os.path.isfile(folder / rows[s]["output"])]
    _refuse(missing, f"no image in {folder}; run `survival preprocess` again")
    return [folder / rows[s]["output"] for s in slides], [rows[s] for s in slides]


def _refuse_same_image(slides: list[str], paths: list[Path]) -> None:
    """Refuse slides whose names differ only in their suffix: they would have the same image."""
    first: dict[Path, str] = {}
    for slide, path in zip(slides, paths, strict=True):
        if (other := first.setdefault(path, slide)) != slide:
            raise ValueError(
                f"{other} and {slide} would both have the image {path}: rename one of them, or "
                f"keep the {MANIFEST} that `survival preprocess` writes"
            )


def _noted(path: Path) -> dict:
    """Return what is noted in an image; with another image only a text for its content."""
    notes: dict = {}
    try:
        with Image.open(path) as image:
            notes = json.loads(image.info[NOTES])
    except (OSError, SyntaxError, KeyError, ValueError, AttributeError):
        pass
    except Image.DecompressionBombError:
        return {}  # _size refuses it with a message.
    return notes if notes.get("content") else notes | {"content": contents_of_files([path])[0]}


def _scale(row: dict, folder: Path) -> float:
    """Return the µm per pixel of an image, NaN if unknown."""
    text = row.get("output_mpp_x") or "nan"
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"{folder / MANIFEST}: output_mpp_x of slide {row.get('slide')} is {text!r}, which is "
            "not a number; undo the change, or run `survival preprocess` again"
        ) from None


def _content(row: dict) -> str:
    """Return a text that is the same for copies of one slide, ``""`` if the manifest has none."""
    if row.get("content"):
        return row["content"]
    # The text of an earlier version; such images can still be compared with each other.
    return f"sha256:{row['sha256']}:{row.get('bytes')}" if row.get("sha256") else ""


def _rows(manifest: Path) -> dict[str, dict]:
    """Return the manifest's rows by slide, each with its ``output``."""
    try:
        with open(manifest, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or ()
            rows = {row.get("slide") or "": row for row in reader}
    except csv.Error as error:
        raise ValueError(f"{manifest} is not a CSV file: {error}") from None
    if absent := [c for c in ("slide", "output") if c not in header]:
        raise ValueError(f"{manifest} has no column {' and no column '.join(absent)}")
    return {slide: row | {"output": row["output"] or ""} for slide, row in rows.items()}


def _is_below(output: str) -> bool:
    path = PurePosixPath(output)
    return not path.is_absolute() and ".." not in path.parts


def _refuse(slides: list[str], why: str) -> None:
    if slides:
        raise ValueError(f"{count(len(slides), 'slide')} of the cohort: {why}: {some(slides)}")


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:  # reads the header only
            size, mode = image.size, image.mode
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
        raise ValueError(f"{path} is not an image; run `survival preprocess` again") from None
    if mode.startswith(("I", "F")):
        raise ValueError(
            f"{path} has more than 8 bits per channel (mode {mode}): convert it to 8 bits, or run "
            "`survival preprocess` on the slides"
        )
    return size


def on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB; transparent pixels become white, the background of a slide."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _decode(path: Path) -> np.ndarray:
    with _undamaged(path) as image:
        return np.asarray(on_white(image))


@contextlib.contextmanager
def _undamaged(path: Path) -> Iterator[Image.Image]:
    """Open an image for a block; an error in the block means that its file is damaged."""
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); run `survival preprocess` again") from None
