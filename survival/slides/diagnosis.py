"""What a file is that OpenSlide cannot open, and what to do about it."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL import TiffImagePlugin as tiff

from survival.slides.tiff import TIFF_ERRORS, directories

_CONVERT = "vips tiffsave {} out.tif --tile --pyramid --compression jpeg"
# How files begin that are downloaded instead of slides, or packed.
_BEGINNINGS = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer, which stands for the slide: "
    "fetch it with `git lfs pull`",
    b"<!doctype html": "a web page (HTML), such as a login or error page: download it again, "
    "signed in",
    b"<html": "a web page (HTML), such as a login or error page: download it again, signed in",
    b"<?xml": "an XML text, such as the error message of a download: look into it",
    b"{": "a JSON text, such as the error message of a download: look into it",
    b"pk\3\4": "a ZIP archive: unpack it",
    b"\x1f\x8b": "a file packed by gzip: unpack it",
    b"%pdf": "a PDF document",
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def what_it_is(path: Path) -> str:
    """Say what a file is that OpenSlide cannot open, and how it becomes a slide.

    Args:
        path: The file.

    Returns:
        The end of a sentence that begins with "it is not a slide that OpenSlide reads".
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
        return ": it begins with zeros only, as files do that were not copied to the end"
    return _plain_image(path) or " (NDPI, SVS, MRXS, tiled TIFF, ...), or it is cut"


def _which_tiff(path: Path) -> str:
    try:
        found = directories(path)
    except TIFF_ERRORS as error:
        # Scanners write the directories last.
        return f": it is a TIFF that is cut or damaged ({error}); copy or download it again"
    if not found:
        return ": it is a TIFF that is cut or damaged: it lists no image"
    convert = _CONVERT.format(f"'{path.name}'")
    description = found[0].get(tiff.IMAGEDESCRIPTION)
    if isinstance(description, bytes) and b"<OME" in description:
        return (
            ": it is an OME-TIFF of a kind that it lacks, such as one with a plane for each "
            f"colour; if it is an RGB image, convert it: {convert}; else export it as RGB"
        )
    if tiff.TILEOFFSETS not in found[0]:
        return f": it is a TIFF in strips, not in tiles; convert it: {convert}"
    bits = found[0].get(tiff.BITSPERSAMPLE, 1)
    return (
        f": it is a tiled TIFF of a kind that it lacks (compression "
        f"{found[0].get(tiff.COMPRESSION, 1)}, bits of a colour {bits}); convert it: {convert}"
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
        f": it is a plain {kind} image of {width}x{height} pixels; if it is the scan of a whole "
        f"slide, convert it: {convert}"
    )
