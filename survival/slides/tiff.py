"""The directories of a TIFF slide, and whether what they say can be true.

libtiff and OpenSlide read on where a directory contradicts itself: tiles that are not listed count
as left out, and those that are listed are put together to another picture.
"""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path

import openslide
from PIL import TiffImagePlugin as tiff

from survival.slides.settings import SlideError

# Vendors whose levels are tiled TIFF directories. Hamamatsu's are not, and break TIFF's rules.
_VENDORS = ("aperio", "generic-tiff", "leica", "philips", "trestle", "ventana")
# A tile is decoded as a whole, 4 bytes a pixel; those of scanners have at most 4096x4096.
_LARGEST_TILE = 8192 * 8192
# What Pillow's parser raises for a file that is no TIFF, or a broken one.
TIFF_ERRORS = (OSError, KeyError, TypeError, ValueError, SyntaxError, struct.error)


def directories(path: Path) -> list[dict]:
    """The tags of all directories of a TIFF or BigTIFF.

    Args:
        path: The file.

    Returns:
        Values by the tags' numbers; what hinders it is one of :data:`TIFF_ERRORS`.
    """
    found = []
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Odd tags are no concern of whoever runs this.
        header = file.read(8)
        if 43 in header[2:4]:
            header += file.read(8)
        directory, seen = tiff.ImageFileDirectory_v2(header), set()
        while directory.next and directory.next not in seen:
            seen.add(directory.next)
            file.seek(directory.next)
            directory.load(file)
            found.append(dict(directory))
    return found


def refuse_contradictions(path: Path, slide: openslide.OpenSlide) -> None:
    """Refuse a tiled TIFF whose directories cannot be true.

    Args:
        path: The slide's file.
        slide: The same, open.

    Raises:
        SlideError: If a level lists more or fewer tiles than it has, or tiles beyond the end of
            the file, or its tiles are too large to be decoded.
    """
    if slide.properties.get(openslide.PROPERTY_NAME_VENDOR) not in _VENDORS:
        return
    try:
        tiled = [tags for tags in directories(path) if tiff.TILEOFFSETS in tags]
    except TIFF_ERRORS:
        return  # OpenSlide reads more than Pillow does.
    for tags in tiled:
        _refuse(tags, path.stat().st_size)


def _refuse(tags: dict, end: int) -> None:
    size = tags.get(tiff.IMAGEWIDTH, 0), tags.get(tiff.IMAGELENGTH, 0)
    tile = tags.get(tiff.TILEWIDTH, 0), tags.get(tiff.TILELENGTH, 0)
    offsets, lengths = tags[tiff.TILEOFFSETS], tags.get(tiff.TILEBYTECOUNTS, ())
    if not all(isinstance(n, int) and n > 0 for n in (*size, *tile)):
        raise SlideError(f"a level has {size} pixels in tiles of {tile}: the file is damaged")
    said = f"a level of {size[0]}x{size[1]} pixels in tiles of {tile[0]}x{tile[1]}"
    if math.prod(tile) > _LARGEST_TILE:
        raise SlideError(f"{said} is damaged, or cannot be decoded in bounded memory")
    number = math.prod(-(-n // t) for n, t in zip(size, tile, strict=True))
    if tags.get(tiff.PLANAR_CONFIGURATION, 1) == 2:
        number *= tags.get(tiff.SAMPLESPERPIXEL, 1)
    if not len(offsets) == len(lengths) == number:
        raise SlideError(
            f"{said} has {number:,} of them, but the file lists {len(offsets):,} places and "
            f"{len(lengths):,} lengths: it is damaged"
        )
    # A tile that was left out has length 0; the file begins with a header of 8 bytes.
    places = zip(offsets, lengths, strict=True)
    astray = sum(n > 0 and not 8 <= at <= end - n for at, n in places)
    if astray:
        raise SlideError(
            f"it is cut or damaged: {astray:,} of the {number:,} tiles of a level of "
            f"{size[0]}x{size[1]} pixels lie in the header or beyond the end of the file at "
            f"{end:,} bytes"
        )
