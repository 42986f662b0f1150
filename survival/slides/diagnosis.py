"""Diagnosis of files that OpenSlide cannot open, with advice."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL import TiffImagePlugin as tiff

from survival.slides.tiff import TIFF_ERRORS, directories

_CONVERT = "vips tiffsave {} out.tif --tile --pyramid --compression jpeg"
# First bytes of files that are downloaded by mistake instead of slides, or are packed.
_BEGINNINGS = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer, a placeholder for the slide: "
    "fetch the slide with `git lfs pull`",
    b"<!doctype html": "a web page (HTML), such as a login or error page: sign in and download "
    "the slide again",
    b"<html": "a web page (HTML), such as a login or error page: sign in and download the slide "
    "again",
    b"<?xml": "an XML text, perhaps the error message of a download: open it in an editor",
    b"{": "a JSON text, perhaps the error message of a download: open it in an editor",
    b"pk\3\4": "a ZIP archive: unpack it",
    b"\x1f\x8b": "a gzip file: unpack it",
    b"%pdf": "a PDF document",
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def what_it_is(path: Path) -> str:
    """Return what a file is that OpenSlide cannot open, and what to do about it.

    Args:
        path: The file.

    Returns:
        The end of a sentence that begins with "it is not a slide that OpenSlide can read".
    """
    with open(path, "rb") as file:
        start = file.read(512)
    beginning = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for bytes_, kind in _BEGINNINGS.items():
        if beginning.startswith(bytes_):
            return f": it is {kind}"
    if start[:4] in _TIFF:
        return _which_tiff(path)
    if not start.strip(b"\0"):
        return ": it begins with zeros only, like a file whose copying was interrupted"
    return _plain_image(path) or " (NDPI, SVS, MRXS, tiled TIFF, ...), or it is truncated"


def _which_tiff(path: Path) -> str:
    try:
        found = directories(path)
    except TIFF_ERRORS as error:
        # Scanners write the directories last, so a truncated file lacks them.
        return f": it is a truncated or damaged TIFF ({error}); copy or download it again"
    if not found:
        return ": it is a truncated or damaged TIFF that lists no image"
    convert = _CONVERT.format(f"'{path.name}'")
    description = found[0].get(tiff.IMAGEDESCRIPTION)
    if isinstance(description, bytes) and b"<OME" in description:
        return (
            ": it is an OME-TIFF of an unsupported kind, such as one with a separate plane for "
            f"each color; if it is an RGB image, convert it: {convert}; otherwise export it as RGB"
        )
    if tiff.TILEOFFSETS not in found[0]:
        return f": it is a TIFF stored in strips, not in tiles; convert it: {convert}"
    bits = found[0].get(tiff.BITSPERSAMPLE, 1)
    return (
        f": it is a tiled TIFF of an unsupported kind (compression "
        f"{found[0].get(tiff.COMPRESSION, 1)}, bits per color {bits}); convert it: {convert}"
    )


def _plain_image(path: Path) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:  # reads the header only
                kind, (width, height) = image.format, image.size
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError,
                ValueError):  # fmt: skip
            return None
    convert = _CONVERT.format(f"'{path.name}'")
    return (
        f": it is a plain {kind} image of {width}x{height} pixels; if it is a scan of a whole "
        f"slide, convert it: {convert}"
    )
