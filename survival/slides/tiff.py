"""The directories of a TIFF slide, and checks that they are consistent.

libtiff and OpenSlide accept a directory that contradicts itself. They treat tiles that are not
listed as empty, and assemble those that are listed into a wrong image.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import openslide
from PIL import TiffImagePlugin as tiff

from survival.slides.settings import SlideError

# Vendors whose levels are tiled TIFF directories. Hamamatsu's are not, and break TIFF's rules.
_VENDORS = ("aperio", "generic-tiff", "leica", "philips", "trestle", "ventana")
# A tile is decoded as a whole, with 4 bytes per pixel. Scanners' tiles have at most 4096x4096.
_LARGEST_TILE = 8192 * 8192
# Exceptions that reading the directories of a damaged file, or one that is not a TIFF, may raise.
TIFF_ERRORS = (OSError, AttributeError, KeyError, TypeError, ValueError, struct.error)
# NumPy's names for TIFF's types of values. Rational numbers and some other types are skipped.
_TYPES = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}


def directories(path: Path) -> list[dict[int, Any]]:
    """Return the tags of all directories of a TIFF or BigTIFF.

    Slides have hundreds of thousands of tiles, so their offsets and lengths stay arrays. Pillow
    would convert them to Python integers one by one.

    Args:
        path: The file.

    Returns:
        A dict per directory from the tags' numbers to their values: an int for a single number,
        bytes, or an array. Offsets and lengths of tiles are always arrays.

    Raises:
        TIFF_ERRORS: One of these, if the file is damaged or not a TIFF.
    """
    found = []
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        header = file.read(16)
        order = {b"II": "<", b"MM": ">"}[header[:2]]
        big = {42: False, 43: True}[struct.unpack(f"{order}H", header[2:4])[0]]
        where = "Q" if big else "I"
        (start,) = struct.unpack_from(order + where, header, 8 if big else 4)
        seen = {0}
        while start not in seen:
            seen.add(start)
            width = 8 if big else 2
            (count,) = struct.unpack(order + "HQ"[big], _bytes(file, start, width, end))
            entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
            table = _bytes(file, start + width, count * entry.size, end)
            (start,) = struct.unpack(order + where, file.read(8 if big else 4))
            found.append(
                {
                    tag: _value(file, order, tag, kind, number, inline, end)
                    for tag, kind, number, inline in entry.iter_unpack(table)
                    if kind in _TYPES
                }
            )
    return found


def _bytes(file: BinaryIO, start: int, number: int, end: int) -> bytes:
    if start + number > end:
        raise ValueError(f"byte {start + number:,} is beyond the end of the file at {end:,}")
    file.seek(start)
    return file.read(number)


def _value(
    file: BinaryIO, order: str, tag: int, kind: int, number: int, inline: bytes, end: int
) -> Any:
    """Return the value of a tag, which is stored in the entry if it fits, else elsewhere."""
    form = np.dtype(order + _TYPES[kind])
    size, data = number * form.itemsize, inline
    if size > len(inline):
        (start,) = struct.unpack(order + ("Q" if len(inline) == 8 else "I"), inline)
        data = _bytes(file, start, size, end)
    if tag in (tiff.TILEOFFSETS, tiff.TILEBYTECOUNTS):
        return np.frombuffer(data, form, number).astype(np.int64)
    if form.itemsize == 1:
        return data[:size]
    values = np.frombuffer(data, form, number)
    return int(values[0]) if number == 1 else values.astype(np.int64)


def refuse_contradictions(path: Path, slide: openslide.OpenSlide) -> None:
    """Refuse a tiled TIFF whose directories contradict themselves.

    Args:
        path: The slide's file.
        slide: The same slide, open.

    Raises:
        SlideError: If a level lists more or fewer tiles than its size requires, or tiles beyond the
            end of the file, or if its tiles are too large to decode.
    """
    if slide.properties.get(openslide.PROPERTY_NAME_VENDOR) not in _VENDORS:
        return
    try:
        tiled = [tags for tags in directories(path) if tiff.TILEOFFSETS in tags]
    except TIFF_ERRORS:
        return  # OpenSlide may still read the file.
    for tags in tiled:
        _refuse(tags, path.stat().st_size)


def _refuse(tags: dict, end: int) -> None:
    size = tags.get(tiff.IMAGEWIDTH, 0), tags.get(tiff.IMAGELENGTH, 0)
    tile = tags.get(tiff.TILEWIDTH, 0), tags.get(tiff.TILELENGTH, 0)
    offsets = tags[tiff.TILEOFFSETS]
    lengths = tags.get(tiff.TILEBYTECOUNTS, np.empty(0, np.int64))
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
            f"{said} needs {number:,} tiles, but the file lists {len(offsets):,} offsets and "
            f"{len(lengths):,} lengths: it is damaged"
        )
    # An omitted tile has length 0; the file begins with a header of 8 bytes.
    outside = (offsets < 8) | (lengths < 0) | (offsets > end - lengths)
    misplaced = np.count_nonzero(outside & (lengths != 0))
    if misplaced:
        raise SlideError(
            f"it is truncated or damaged: {misplaced:,} of the {number:,} tiles of a level of "
            f"{size[0]}x{size[1]} pixels are in the header or beyond the end of the file at "
            f"{end:,} bytes"
        )
