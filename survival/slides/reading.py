"""Read a slide piece by piece, in bounded memory for any size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import openslide
from PIL import Image

from survival.slides.averaging import area_weights, average
from survival.slides.diagnosis import what_it_is
from survival.slides.geometry import Plan
from survival.slides.identity import TilesHash
from survival.slides.settings import SlideError

# Pixels of a piece. Each needs 4 bytes in OpenSlide, 4 as an array and 16 as floats.
PIECE = 2**20
LARGEST_PIECE = 4 * PIECE
# To avoid a shift, reading may start up to REACH pixels to the left of and above a piece. A shift
# of up to SHIFT pixels of the level is accepted.
REACH, SHIFT = 3072, 0.001

Place = TypeVar("Place")


@contextlib.contextmanager
def open_slide(path: Path) -> Iterator[openslide.OpenSlide]:
    """Open a slide; errors of OpenSlide, now or within the context, become a SlideError.

    Raises:
        SlideError: If the file is not a slide, or cannot be decoded.
        OSError: If the file does not exist or may not be opened.
    """
    if path.is_dir():
        raise SlideError("it is a folder, not a slide")
    with open(path, "rb") as file:
        if not file.read(1):
            raise SlideError("it is empty (0 bytes)")
    try:
        with openslide.OpenSlide(path) as slide:
            yield slide
    except openslide.OpenSlideUnsupportedFormatError:
        raise SlideError(f"it is not a slide that OpenSlide can read{what_it_is(path)}") from None
    except openslide.OpenSlideError as error:
        raise SlideError(f"it cannot be decoded: {error}") from None


def read_over_white(
    slide: openslide.OpenSlide,
    plan: Plan,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    tiles: TilesHash | None = None,
) -> np.ndarray:
    """Return the pixels of a slide, averaged over areas and composited over white.

    Args:
        slide: An open slide.
        plan: What to read and by which factors to average it.
        threads: Pieces read at the same time, about 30 MB each. The result does not depend on it.
        progress: Called after each piece with the number of finished pieces and the total.
        tiles: Collects a hash of the pixels that are read.

    Returns:
        uint8 array (height, width, 3).
    """
    width, height = plan.size
    columns, rows = pieces(slide, plan)
    places = [(x, y) for y in rows for x in columns]

    def read(place: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int, np.ndarray]:
        (x, x_stop), (y, y_stop) = place
        # read_region expects its corner in level-0 pixels.
        left, top = (_corner(n, plan.level_downsample) for n in (x, y))
        l0_corner = round(left * plan.level_downsample), round(top * plan.level_downsample)
        region = slide.read_region(l0_corner, plan.level, (x_stop - left, y_stop - top))
        rgba = np.asarray(region)[y - top :, x - left :]
        if tiles is not None:
            tiles.add((y, x), np.ascontiguousarray(rgba).data)
        pixels = _premultiplied(rgba)
        if plan.factors == (1.0, 1.0):
            return y - plan.l_corner[1], x - plan.l_corner[0], _ink(pixels)
        left, across = area_weights(*_within(plan, 0, x, x_stop), plan.factors[0], width)
        top, down = area_weights(*_within(plan, 1, y, y_stop), plan.factors[1], height)
        return top, left, _ink(average(pixels, down, across))

    return sum_over_white(read, places, plan.size, threads, progress)


def sum_over_white(
    read: Callable[[Place], tuple[int, int, np.ndarray]],
    places: list[Place],
    size: tuple[int, int],
    threads: int,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Add up the contributions of a slide's pieces to an image.

    The contributions are of "ink", 255 − color over white: 0 is white, 255 black. Ink outside the
    slide is 0, so the sum of all pieces is the ink of the image.

    Args:
        read: Function from a place to the first row and column of the image that the piece touches,
            and its ink, shape (rows, columns, 3).
        places: All places.
        size: Width and height of the image.
        threads: Places read at the same time; the result does not depend on it.
        progress: Called after each place with the number of finished places and the total.

    Returns:
        uint8 array (height, width, 3).
    """
    ink = np.zeros((size[1], size[0], 3), np.float32)
    for top, left, part in _parts(read, places, threads, progress):
        ink[top : top + part.shape[0], left : left + part.shape[1]] += part
    ink += 0.5
    return 255 - ink.astype(np.uint8)


def put_together(
    read: Callable[[Place], tuple[int, int, np.ndarray]],
    places: list[Place],
    size: tuple[int, int],
    threads: int,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Put together an image from pieces that cover it without overlap.

    Args:
        read: Function from a place to the first row and column of the image that the piece touches,
            and its pixels, uint8 with a fourth, unused channel.
        places: All places.
        size: Width and height of the image.
        threads: Places read at the same time.
        progress: Called after each place with the number of finished places and the total.

    Returns:
        uint8 array (height, width, 3).
    """
    image = np.empty((size[1], size[0], 4), np.uint8)
    for top, left, part in _parts(read, places, threads, progress):
        image[top : top + part.shape[0], left : left + part.shape[1]] = part
    # Pillow drops the fourth channel several times faster than NumPy.
    return np.asarray(Image.frombuffer("RGBX", size, image).convert("RGB"))


def _parts(
    read: Callable[[Place], tuple[int, int, np.ndarray]],
    places: list[Place],
    threads: int,
    progress: Callable[[int, int], None],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield what is read at all places, in order."""
    with contextlib.ExitStack() as stack:
        parts: Iterator[tuple[int, int, np.ndarray]]
        if threads == 1:
            parts = map(read, places)
        else:
            pool = ThreadPoolExecutor(threads)
            stack.callback(pool.shutdown, cancel_futures=True)
            parts = pool.map(read, places)
        for done, part in enumerate(parts, start=1):
            yield part
            progress(done, len(places))


def pieces(
    slide: openslide.OpenSlide, plan: Plan
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Divide the area of a plan into columns and rows, each a (start, stop) in level pixels.

    Pieces consist of whole tiles where possible, so that each tile is decoded once.
    """
    get, name = slide.properties.get, f"openslide.level[{plan.level}].tile-"
    tile_width, tile_height = (int(get(name + side, 256)) for side in ("width", "height"))
    width = tile_width * max(1, 1024 // tile_width)
    height = tile_height * max(1, PIECE // width // tile_height)
    # Tiles may be as large as the slide.
    width = min(width, LARGEST_PIECE)
    height = min(height, max(1, LARGEST_PIECE // width))

    def cut(axis: int, step: int, tile: int) -> list[tuple[int, int]]:
        start = plan.l_corner[axis]
        return _cut(start, start + plan.l_size[axis], step, tile, plan.level_downsample)

    return cut(0, width, tile_width), cut(1, height, tile_height)


def _cut(start: int, stop: int, step: int, tile: int, downsample: float) -> list[tuple[int, int]]:
    """Divide [start, stop) by borders at most ``step`` apart.

    OpenSlide shifts, and so blurs, a piece whose corner is not a whole level-0 pixel. With a
    downsample such as 64.05, borders are therefore placed where border·downsample is nearly whole,
    even inside tiles. If there is no such place, borders are at those of tiles, as far apart as
    possible.
    """
    borders = [start]
    while stop - borders[-1] > step:
        candidates = borders[-1] + np.arange(step, step // 2, -1)
        l0 = candidates * downsample
        shift = np.abs(l0 - np.rint(l0)) / downsample
        shift[shift > SHIFT] = 1
        inside_a_tile = candidates % tile != 0
        borders.append(int(candidates[np.argmin(shift + 0.001 * inside_a_tile)]))
    return list(zip(borders, [*borders[1:], stop], strict=True))


def _corner(start: int, downsample: float) -> int:
    """Return the last pixel at or before a piece's start from which reading causes no shift.

    OpenSlide blurs a region whose corner is not a whole level-0 pixel. If there is no such corner
    within :data:`REACH`, the piece is read from its start: reading thousands of additional pixels
    for slightly less blur would be many times slower.
    """
    candidates = start - np.arange(min(start, REACH) + 1)
    l0 = candidates * downsample
    shift = np.abs(l0 - np.rint(l0)) / downsample
    good = shift <= SHIFT
    return int(candidates[np.argmax(good)]) if good.any() else start


def _within(plan: Plan, axis: int, start: int, stop: int) -> tuple[int, int]:
    return start - plan.l_corner[axis], stop - plan.l_corner[axis]


def _premultiplied(rgba: np.ndarray) -> np.ndarray:
    """Return colors times alpha, and alpha: transparent pixels must be averaged in this form."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return rgba
    return np.concatenate([rgba[..., :3] * (alpha / np.float32(255)), alpha], axis=-1)


def _ink(pixels: np.ndarray) -> np.ndarray:
    """Return the ink of premultiplied pixels: 255 − color over white.

    Over white, a premultiplied color c becomes c + (255 − alpha), so the ink is alpha − c.
    """
    return pixels[..., 3:] - pixels[..., :3]
