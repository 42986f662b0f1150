"""Plain TIFF slides in JPEG tiles: the pixels that OpenSlide gives, several times faster.

OpenSlide decodes a tile for a viewer: it turns it into another format, draws it onto a canvas and
turns that back, which takes most of the time. Where a level is nothing but tiles side by side they
are decoded here. Whatever is not that plain, or cannot be decoded, is left to OpenSlide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from PIL import TiffImagePlugin as tiff
from scipy import sparse
from simplejpeg import decode_jpeg, decode_jpeg_header

from survival.slides.averaging import area_weights, average
from survival.slides.geometry import Plan
from survival.slides.reading import LARGEST_PIECE, sum_over_white
from survival.slides.settings import SlideError
from survival.slides.tiff import TIFF_ERRORS, directories

# Vendors whose levels are TIFF directories of tiles side by side, without overlap.
_VENDORS = ("aperio", "generic-tiff")
# Values of TIFF tags.
_JPEG, _RGB, _YCBCR = 7, 2, 6
# The start of a JPEG stream, its end, and a marker: RGB (0) or YCbCr (1) follows.
_START, _END, _COLOURS = b"\xff\xd8", b"\xff\xd9", b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0"


@dataclass(frozen=True)
class _Level:
    """Where the tiles of a level lie in the file, row by row, and what precedes each of them."""

    path: Path
    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    head: bytes

    def ink(self, columns: range, rows: range) -> np.ndarray:
        """How much darker than white the pixels of some tiles are; 0 outside the level."""
        width, height = self.tile
        ink = np.empty((len(rows) * height, len(columns) * width, 3), np.uint8)
        across = -(-self.size[0] // width)
        with open(self.path, "rb") as file:
            for row in rows:
                for column in columns:
                    file.seek(self.offsets[row * across + column])
                    pixels = self._decoded(file.read(self.lengths[row * across + column]))
                    y, x = (row - rows.start) * height, (column - columns.start) * width
                    np.subtract(255, pixels, out=ink[y : y + height, x : x + width])
        # Tiles at the end of the level are filled up with something.
        ink[self.size[1] - rows.start * height :] = 0
        ink[:, self.size[0] - columns.start * width :] = 0
        return ink

    def _decoded(self, data: bytes) -> np.ndarray:
        data = self.head + data.removeprefix(_START)
        height, width, *_ = decode_jpeg_header(data)
        # OpenSlide refuses it too, but decodes it first: a few kilobytes may hold gigabytes.
        if (width, height) != self.tile:
            raise SlideError(
                f"it cannot be decoded: a tile has {width}x{height} pixels, not "
                f"{self.tile[0]}x{self.tile[1]}"
            )
        # As OpenSlide does, take for an error what libjpeg only warns of.
        return decode_jpeg(data, "RGB", strict=True)


def read_jpeg_tiles(
    path: Path,
    slide: openslide.OpenSlide,
    plan: Plan,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray | None:
    """Do what :func:`.reading.read_over_white` does, if the slide is a plain TIFF.

    Args:
        path: The slide's file.
        slide: The same, open.
        plan: What to read and by how much to average it.
        threads: Pieces decoded at the same time, about 20 MB each.
        progress: Called after each piece with the pieces done and their number.

    Returns:
        The image, or None if OpenSlide must read it.

    Raises:
        SlideError: If a tile has another size than the level says.
    """
    try:
        level = _plain_level(path, slide, plan)
    except SlideError:
        raise
    except TIFF_ERRORS:
        return None
    if level is None:
        return None

    def cut(axis: int) -> list[range]:
        number, step = -(-level.size[axis] // level.tile[axis]), max(1, 1024 // level.tile[axis])
        return [range(k, min(k + step, number)) for k in range(0, number, step)]

    def weights(axis: int, tiles: range) -> tuple[int, sparse.csr_matrix]:
        start, stop = (k * level.tile[axis] for k in (tiles.start, tiles.stop))
        return area_weights(start, stop, plan.factors[axis], plan.size[axis])

    def read(place: tuple[range, range]) -> tuple[int, int, np.ndarray]:
        columns, rows = place
        (left, across), (top, down) = weights(0, columns), weights(1, rows)
        return top, left, average(level.ink(columns, rows), down, across)

    try:
        places = [(columns, rows) for rows in cut(1) for columns in cut(0)]
        return sum_over_white(read, places, plan.size, threads, progress)
    except SlideError:
        raise
    except (OSError, ValueError):
        return None


def _plain_level(path: Path, slide: openslide.OpenSlide, plan: Plan) -> _Level | None:
    """The level of a plan, if it is in the file once and plain, and OpenSlide sees the same."""
    vendor = slide.properties[openslide.PROPERTY_NAME_VENDOR]
    if vendor not in _VENDORS or any(plan.l_corner):
        return None
    size = slide.level_dimensions[plan.level]
    found = [
        tags
        for tags in directories(path)
        if (tags[tiff.IMAGEWIDTH], tags[tiff.IMAGELENGTH]) == size and tiff.TILEOFFSETS in tags
    ]
    if len(found) != 1:
        return None
    (tags,) = found
    tile = tags[tiff.TILEWIDTH], tags[tiff.TILELENGTH]
    offsets, lengths = tags[tiff.TILEOFFSETS], tags[tiff.TILEBYTECOUNTS]
    colours, planes = tags[tiff.PHOTOMETRIC_INTERPRETATION], tags.get(tiff.PLANAR_CONFIGURATION, 1)
    number = math.prod(-(-n // t) for n, t in zip(size, tile, strict=True))
    plain = tags[tiff.COMPRESSION] == _JPEG and tags[tiff.BITSPERSAMPLE] == (8, 8, 8)
    plain = plain and colours in (_RGB, _YCBCR) and planes == 1
    # A tile that was left out has length 0.
    plain = plain and len(offsets) == len(lengths) == number and all(lengths)
    if not plain or math.prod(tile) > LARGEST_PIECE:
        return None
    # The tables that all tiles share are a stream without an image.
    tables = tags.get(tiff.JPEGTABLES, b"").removeprefix(_START).removesuffix(_END)
    head = _START + tables + _COLOURS + bytes([colours == _YCBCR])
    level = _Level(path, size, tile, offsets, lengths, head)
    # If there is anything else about this file that only OpenSlide knows, the first tile shows it.
    first = min(size[0], tile[0]), min(size[1], tile[1])
    ours = level.ink(range(1), range(1))[: first[1], : first[0]]
    theirs = np.asarray(slide.read_region((0, 0), plan.level, first))[..., :3]
    differ = 255.0 - theirs - ours
    return level if np.abs(differ).mean() < 1 else None
