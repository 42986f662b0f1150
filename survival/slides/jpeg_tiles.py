"""Plain TIFF slides with JPEG tiles: the same pixels as OpenSlide's, several times faster.

OpenSlide decodes a tile for a viewer: it converts it to another format, draws it onto a canvas and
converts that back, which takes most of the time. If a level consists of adjacent tiles without
overlap, they are decoded here. Anything else, or a tile that cannot be decoded, is left to
OpenSlide.

libjpeg can decode a tile at 1/2, 1/4 or 1/8 of its size in a third of the time. It then averages
pixels before it rounds and clips colors, not afterwards. If an image pixel averages enough pixels,
the difference is invisible (see the measurements below).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import openslide
from PIL import TiffImagePlugin as tiff
from scipy import sparse
from simplejpeg import decode_jpeg, decode_jpeg_header

from survival.slides.averaging import area_weights, average, average_of_blocks
from survival.slides.geometry import Plan
from survival.slides.identity import TilesHash
from survival.slides.reading import LARGEST_PIECE, put_together, sum_over_white
from survival.slides.settings import SlideError
from survival.slides.tiff import TIFF_ERRORS, directories

# Vendors whose levels are TIFF directories of adjacent tiles without overlap.
_VENDORS = ("aperio", "generic-tiff")
# Values of TIFF tags.
_JPEG, _RGB, _YCBCR = 7, 2, 6
# Scales at which libjpeg can decode, and the least number of decoded pixels per image pixel along
# each axis for which that is done. Measured on the tests' slide: with 32, no image pixel deviates
# by more than 0.52 gray levels for whole factors and 0.55 for others; with 16, by 0.53 and 1.2.
_SCALES, _ENOUGH = (8, 4, 2), 32
# Start and end of a JPEG stream, and the marker that precedes the flag RGB (0) or YCbCr (1).
_START, _END, _COLORS = b"\xff\xd8", b"\xff\xd9", b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0"


@dataclass(frozen=True)
class _Level:
    """Positions of a level's tiles in the file, row by row, and the header that each needs."""

    path: Path
    size: tuple[int, int]
    tile: tuple[int, int]
    offsets: np.ndarray
    lengths: np.ndarray
    head: bytes

    def pixels(
        self,
        columns: range,
        rows: range,
        scale: int = 1,
        blocks: tuple[int, int] = (1, 1),
        tiles: TilesHash | None = None,
    ) -> np.ndarray:
        """Return the pixels of some tiles, white outside the level.

        The result has a fourth, unused channel, because Pillow is faster with four.

        Args:
            columns: Columns of tiles.
            rows: Rows of tiles.
            scale: Pixels of the level per decoded pixel, along each axis.
            blocks: Width and height of the blocks over which decoded pixels are then averaged.
            tiles: Collects a hash of the data that are read.
        """
        width, height = self.tile[0] // scale, self.tile[1] // scale
        across, down = width // blocks[0], height // blocks[1]
        pixels = np.empty((len(rows) * down, len(columns) * across, 4), np.uint8)
        # One buffer for all tiles at the border: new memory for each would have to be cleared.
        room = np.empty((*self.tile[::-1], 4), np.uint8)
        # Tiles of a column are adjacent in memory, so they can be averaged together. A call for
        # each of them would add a tenth to the time.
        column_room = np.empty((len(rows) * height, width, 4), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for i, column in enumerate(columns):
                for j, row in enumerate(rows):
                    data = self._read(file, column, row)
                    part = column_room[j * height : (j + 1) * height]
                    right = self.size[0] - column * self.tile[0]
                    bottom = self.size[1] - row * self.tile[1]
                    if right >= self.tile[0] and bottom >= self.tile[1]:
                        self._decode(data, part, scale)
                    else:
                        # Outside the level, such a tile is padded with arbitrary pixels.
                        self._decode(data, room)
                        room[bottom:] = 255
                        room[:, right:] = 255
                        part[:] = average_of_blocks(room, (scale, scale))
                    if tiles is not None:
                        tiles.add((row, column), data)
                pixels[:, i * across : (i + 1) * across] = average_of_blocks(column_room, blocks)
        return pixels

    def _read(self, file: BinaryIO, column: int, row: int) -> bytes:
        at = row * -(-self.size[0] // self.tile[0]) + column
        file.seek(self.offsets[at])
        return file.read(self.lengths[at])

    def _decode(self, data: bytes, room: np.ndarray, scale: int = 1) -> None:
        """Decode a tile into ``room``, an array of the tile's size divided by the scale."""
        data = self.head + data.removeprefix(_START)
        height, width, *_ = decode_jpeg_header(data)
        # OpenSlide refuses this too, but only after decoding: a few kilobytes may expand to GBs.
        if (width, height) != self.tile:
            raise SlideError(
                f"it cannot be decoded: a tile has {width}x{height} pixels, not "
                f"{self.tile[0]}x{self.tile[1]}"
            )
        # As in OpenSlide, what libjpeg only warns about is an error (strict).
        least = {"min_height": height // scale, "min_width": width // scale} if scale > 1 else {}
        decode_jpeg(data, "RGBX", strict=True, buffer=room, **least)


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
    """Read a plain TIFF slide as :func:`.reading.read_over_white` does, but faster.

    Args:
        path: The slide's file.
        slide: The same slide, open.
        plan: What to read and by which factors to average it.
        threads: Pieces decoded at the same time, about 20 MB each.
        progress: Called after each piece with the number of finished pieces and the total.
        exact: Whether tiles are always decoded at full size.
        tiles: Collects a hash of the tiles that are read.

    Returns:
        The image, and whether tiles were decoded at a smaller size; or None if OpenSlide must read
        the slide.

    Raises:
        SlideError: If the size of a tile differs from that stated for the level.
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

    def weights(axis: int, indices: range) -> tuple[int, sparse.csr_matrix]:
        start, stop = indices.start * side[axis], indices.stop * side[axis]
        return area_weights(start, stop, factors[axis], plan.size[axis])

    def read(place: tuple[range, range]) -> tuple[int, int, np.ndarray]:
        columns, rows = place
        pixels = level.pixels(columns, rows, scale, tile_blocks or (1, 1), tiles)
        starts = columns.start * side[0], rows.start * side[1]
        sides = len(columns) * side[0], len(rows) * side[1]
        blocks = tile_blocks or _whole_blocks(starts, sides, factors)
        if blocks is None:
            (left, across), (top, down) = weights(0, columns), weights(1, rows)
            return top, left, average(255 - pixels[..., :3], down, across)
        part = pixels if tile_blocks else average_of_blocks(255 - pixels, blocks)[..., :3]
        left, top = starts[0] // blocks[0], starts[1] // blocks[1]
        # Tiles may extend beyond the image.
        return top, left, part[: plan.size[1] - top, : plan.size[0] - left]

    try:
        places = [(columns, rows) for rows in cut(1) for columns in cut(0)]
        together = put_together if tile_blocks else sum_over_white
        return together(read, places, plan.size, threads, progress), scale > 1
    except SlideError:
        raise
    except (OSError, ValueError):
        return None


def _scale(level: _Level, plan: Plan) -> int:
    """Return the largest scale at which tiles may be decoded, 1 for full size."""
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
    """Return the factors as integers if a piece consists of whole blocks of pixels, else None."""
    across, down = (round(factor) for factor in factors)
    whole = abs(across - factors[0]) < 1e-9 and abs(down - factors[1]) < 1e-9
    rest = starts[0] % across or sides[0] % across or starts[1] % down or sides[1] % down
    return (across, down) if whole and not rest else None


def _plain_level(path: Path, slide: openslide.OpenSlide, plan: Plan) -> _Level | None:
    """Return the level of a plan if it is plain, occurs once, and decodes as in OpenSlide."""
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
    colors, planes = tags[tiff.PHOTOMETRIC_INTERPRETATION], tags.get(tiff.PLANAR_CONFIGURATION, 1)
    number = math.prod(-(-n // t) for n, t in zip(size, tile, strict=True))
    bits = tags[tiff.BITSPERSAMPLE]
    plain = tags[tiff.COMPRESSION] == _JPEG and np.array_equal(bits, (8, 8, 8))
    plain = plain and colors in (_RGB, _YCBCR) and planes == 1
    # An omitted tile has length 0.
    plain = plain and len(offsets) == len(lengths) == number and bool(lengths.all())
    if not plain or math.prod(tile) > LARGEST_PIECE:
        return None
    # The tables shared by all tiles form a JPEG stream without an image.
    tables = tags.get(tiff.JPEGTABLES, b"").removeprefix(_START).removesuffix(_END)
    head = _START + tables + _COLORS + bytes([colors == _YCBCR])
    level = _Level(path, size, tile, offsets, lengths, head)
    # Compare the first tile with OpenSlide's, in case the file needs any other special treatment.
    first = min(size[0], tile[0]), min(size[1], tile[1])
    ours = level.pixels(range(1), range(1))[: first[1] : 4, : first[0] : 4, :3]
    theirs = np.asarray(slide.read_region((0, 0), plan.level, first))[..., :3]
    # Every fourth pixel is enough.
    differ = theirs[::4, ::4] - ours.astype(float)
    return level if np.abs(differ).mean() < 1 else None
