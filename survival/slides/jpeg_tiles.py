"""Plain TIFF slides in JPEG tiles: the pixels that OpenSlide gives, several times faster.

OpenSlide decodes a tile for a viewer: it turns it into another format, draws it onto a canvas and
turns that back, which takes most of the time. Where a level is nothing but tiles side by side they
are decoded here. Whatever is not that plain, or cannot be decoded, is left to OpenSlide.

libjpeg can decode a tile to a half, a quarter or an eighth of its sides, in a third of the time: it
averages before it rounds and clips colours, not afterwards. Where enough pixels are averaged that
makes no difference that one sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from PIL import TiffImagePlugin as tiff
from scipy import sparse
from simplejpeg import decode_jpeg, decode_jpeg_header

from survival.slides.averaging import area_weights, average, average_of_blocks
from survival.slides.geometry import Plan
from survival.slides.identity import TilesHash
from survival.slides.reading import LARGEST_PIECE, sum_over_white
from survival.slides.settings import SlideError
from survival.slides.tiff import TIFF_ERRORS, directories

# Vendors whose levels are TIFF directories of tiles side by side, without overlap.
_VENDORS = ("aperio", "generic-tiff")
# Values of TIFF tags.
_JPEG, _RGB, _YCBCR = 7, 2, 6
# Scales at which libjpeg decodes, and how many of the smaller pixels an image pixel then has along
# each axis, at least. Measured on the fixture of the tests: with 32 no image pixel is off by more
# than 0.52 grey levels if that is a whole number, and 0.55 if not; with 16 by 0.53 and 1.2.
_SCALES, _ENOUGH = (8, 4, 2), 32
# The start of a JPEG stream, its end, and a marker: RGB (0) or YCbCr (1) follows.
_START, _END, _COLOURS = b"\xff\xd8", b"\xff\xd9", b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0"


@dataclass(frozen=True)
class _Level:
    """Where the tiles of a level lie in the file, row by row, and what precedes each of them."""

    path: Path
    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: np.ndarray
    lengths: np.ndarray
    head: bytes

    def ink(
        self,
        columns: range,
        rows: range,
        scale: int = 1,
        blocks: tuple[int, int] = (1, 1),
        tiles: TilesHash | None = None,
    ) -> np.ndarray:
        """How much darker than white the pixels of some tiles are; 0 outside the level.

        A fourth number of each pixel is of no use but to have four, as Pillow's images have.

        Args:
            columns: Columns of tiles.
            rows: Rows of tiles.
            scale: Pixels of the level per decoded pixel, along each axis.
            blocks: Width and height of the blocks of decoded pixels that are then averaged.
            tiles: Takes a hash of what was read.
        """
        across, down = (scale * block for block in blocks)
        width, height = self.tile[0] // across, self.tile[1] // down
        ink = np.empty((len(rows) * height, len(columns) * width, 4), np.uint8)
        # For every tile in turn: new memory for each has to be mapped and cleared first.
        room = np.empty((*self.tile[::-1], 4), np.uint8)
        for row, column, one in self._read(columns, rows):
            y, x = (row - rows.start) * height, (column - columns.start) * width
            part = ink[y : y + height, x : x + width]
            # Tiles at the end of the level are filled up with something.
            inside = self.size[0] - column * self.tile[0], self.size[1] - row * self.tile[1]
            if inside[0] >= self.tile[0] and inside[1] >= self.tile[1]:
                pixels = average_of_blocks(self._decoded(one, room, scale), blocks)
            else:
                pixels = self._decoded(one, room)
                pixels[inside[1] :] = 255
                pixels[:, inside[0] :] = 255
                pixels = average_of_blocks(pixels, (across, down))
            np.subtract(255, pixels, out=part)
            if tiles is not None:
                tiles.add((row, column), one)
        return ink

    def _read(self, columns: range, rows: range) -> Iterator[tuple[int, int, bytes]]:
        number = -(-self.size[0] // self.tile[0])
        with open(self.path, "rb") as file:
            for row in rows:
                for column in columns:
                    at = row * number + column
                    file.seek(self.offsets[at])
                    yield row, column, file.read(self.lengths[at])

    def _decoded(self, data: bytes, room: np.ndarray, scale: int = 1) -> np.ndarray:
        """The pixels of a tile, in some room for them that the next one may use again."""
        data = self.head + data.removeprefix(_START)
        height, width, *_ = decode_jpeg_header(data)
        # OpenSlide refuses it too, but decodes it first: a few kilobytes may hold gigabytes.
        if (width, height) != self.tile:
            raise SlideError(
                f"it cannot be decoded: a tile has {width}x{height} pixels, not "
                f"{self.tile[0]}x{self.tile[1]}"
            )
        # As OpenSlide does, take for an error what libjpeg only warns of.
        least = {"min_height": height // scale, "min_width": width // scale} if scale > 1 else {}
        return decode_jpeg(data, "RGBX", strict=True, buffer=room, **least)


def read_jpeg_tiles(
    path: Path,
    slide: openslide.OpenSlide,
    plan: Plan,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    exact: bool = True,
    tiles: TilesHash | None = None,
) -> tuple[np.ndarray, bool] | None:
    """Do what :func:`.reading.read_over_white` does, if the slide is a plain TIFF.

    Args:
        path: The slide's file.
        slide: The same, open.
        plan: What to read and by how much to average it.
        threads: Pieces decoded at the same time, about 20 MB each.
        progress: Called after each piece with the pieces done and their number.
        exact: Whether tiles are decoded in full where smaller ones would do.
        tiles: Takes a hash of the tiles that were read.

    Returns:
        The image, and whether tiles were decoded to a smaller size; or None if OpenSlide must read
        the slide.

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
    scale = 1 if exact else _scale(level, plan)
    factors = plan.factors[0] / scale, plan.factors[1] / scale
    side = level.tile[0] // scale, level.tile[1] // scale
    tile_blocks = _whole_blocks((0, 0), side, factors)

    def cut(axis: int) -> list[range]:
        number, step = -(-level.size[axis] // level.tile[axis]), max(1, 1024 // side[axis])
        return [range(k, min(k + step, number)) for k in range(0, number, step)]

    def weights(axis: int, some: range) -> tuple[int, sparse.csr_matrix]:
        start, stop = some.start * side[axis], some.stop * side[axis]
        return area_weights(start, stop, factors[axis], plan.size[axis])

    def read(place: tuple[range, range]) -> tuple[int, int, np.ndarray]:
        columns, rows = place
        ink = level.ink(columns, rows, scale, tile_blocks or (1, 1), tiles)
        starts = columns.start * side[0], rows.start * side[1]
        sides = len(columns) * side[0], len(rows) * side[1]
        blocks = tile_blocks or _whole_blocks(starts, sides, factors)
        if blocks is None:
            (left, across), (top, down) = weights(0, columns), weights(1, rows)
            return top, left, average(ink[..., :3], down, across)
        if tile_blocks is None:
            ink = average_of_blocks(ink, blocks)
        left, top = starts[0] // blocks[0], starts[1] // blocks[1]
        # Tiles may reach further than the image.
        ink = ink[: plan.size[1] - top, : plan.size[0] - left]
        return top, left, ink if tile_blocks else ink[..., :3]

    try:
        places = [(columns, rows) for rows in cut(1) for columns in cut(0)]
        rounded = tile_blocks is not None
        image = sum_over_white(read, places, plan.size, threads, progress, rounded=rounded)
        return image, scale > 1
    except SlideError:
        raise
    except (OSError, ValueError):
        return None


def _scale(level: _Level, plan: Plan) -> int:
    """The smallest size to which tiles may be decoded."""
    return next(
        (
            scale
            for scale in _SCALES
            if min(plan.factors) >= _ENOUGH * scale and not any(side % scale for side in level.tile)
        ),
        1,
    )


def _whole_blocks(
    starts: tuple[int, int], sides: tuple[int, int], factors: tuple[float, float]
) -> tuple[int, int] | None:
    """The factors, if a piece is nothing but whole blocks of pixels that become one each."""
    across, down = (round(factor) for factor in factors)
    whole = abs(across - factors[0]) < 1e-9 and abs(down - factors[1]) < 1e-9
    rest = starts[0] % across or sides[0] % across or starts[1] % down or sides[1] % down
    return (across, down) if whole and not rest else None


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
    bits = tags[tiff.BITSPERSAMPLE]
    plain = tags[tiff.COMPRESSION] == _JPEG and np.array_equal(bits, (8, 8, 8))
    plain = plain and colours in (_RGB, _YCBCR) and planes == 1
    # A tile that was left out has length 0.
    plain = plain and len(offsets) == len(lengths) == number and bool(lengths.all())
    if not plain or math.prod(tile) > LARGEST_PIECE:
        return None
    # The tables that all tiles share are a stream without an image.
    tables = tags.get(tiff.JPEGTABLES, b"").removeprefix(_START).removesuffix(_END)
    head = _START + tables + _COLOURS + bytes([colours == _YCBCR])
    level = _Level(path, size, tile, offsets, lengths, head)
    # If there is anything else about this file that only OpenSlide knows, the first tile shows it.
    first = min(size[0], tile[0]), min(size[1], tile[1])
    ours = level.ink(range(1), range(1))[: first[1], : first[0], :3]
    theirs = np.asarray(slide.read_region((0, 0), plan.level, first))[..., :3]
    # Some of its pixels are enough.
    differ = 255.0 - theirs[::4, ::4] - ours[::4, ::4]
    return level if np.abs(differ).mean() < 1 else None
