"""Reading a slide piece by piece: bounded memory whatever its size."""

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

# A piece has about this many pixels: 4 bytes each from OpenSlide, 4 as an array, 16 as floats.
PIECE = 2**20
LARGEST_PIECE = 4 * PIECE
# How many pixels further to the left and above a piece may be read from, and the largest shift,
# in pixels of the level, for which it is not.
REACH, SHIFT = 3072, 0.001

Place = TypeVar("Place")


@contextlib.contextmanager
def open_slide(path: Path) -> Iterator[openslide.OpenSlide]:
    """Open a slide; what OpenSlide says against it, then or later, becomes a SlideError.

    Raises:
        SlideError: If it is no slide, or cannot be read.
        OSError: If there is no such file, or it may not be opened.
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
        raise SlideError(f"it is not a slide that OpenSlide reads{what_it_is(path)}") from None
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
    """Average the pixels of a slide over areas, laid over white.

    Args:
        slide: An open slide.
        plan: What to read and by how much to average it.
        threads: Pieces read at the same time; each takes about 30 MB. The result is the same for
            any number.
        progress: Called after each piece with the pieces done and their number.
        tiles: Takes a hash of the pixels that were read.

    Returns:
        uint8 array (height, width, 3): the averaged colours, over white.
    """
    width, height = plan.size
    columns, rows = pieces(slide, plan)
    places = [(x, y) for y in rows for x in columns]

    def read(place: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int, np.ndarray]:
        (x, x_stop), (y, y_stop) = place
        # read_region wants its corner in level-0 pixels.
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
    *,
    rounded: bool = False,
) -> np.ndarray:
    """Add up what pieces of a slide give to an image.

    Args:
        read: From a place to what is found there: the first row and column of the image that it
            touches, and its ink, (rows, columns, 3): 0 is white, 255 black.
        places: All places.
        size: Width and height of the image.
        threads: Places read at the same time; the result is the same for any number.
        progress: Called after each place with the places done and their number.
        rounded: Whether the ink is uint8, with a fourth number that is not used, and no two places
            touch the same pixel.

    Returns:
        uint8 array (height, width, 3).
    """
    colours, kind = (4, np.uint8) if rounded else (3, np.float32)
    ink = np.zeros((size[1], size[0], colours), kind)
    with contextlib.ExitStack() as stack:
        parts: Iterator[tuple[int, int, np.ndarray]]
        if threads == 1:
            parts = map(read, places)
        else:
            pool = ThreadPoolExecutor(threads)
            stack.callback(pool.shutdown, cancel_futures=True)
            parts = pool.map(read, places)
        for done, (top, left, part) in enumerate(parts, start=1):
            ink[top : top + part.shape[0], left : left + part.shape[1]] += part
            progress(done, len(places))
    if rounded:
        # Pillow leaves the fourth number out several times faster than NumPy does.
        return np.asarray(Image.frombuffer("RGBX", size, 255 - ink).convert("RGB"))
    ink += 0.5
    return 255 - ink.astype(np.uint8)


def pieces(
    slide: openslide.OpenSlide, plan: Plan
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Cut what a plan reads into columns and rows, each a (start, stop) in pixels of the level.

    Pieces are made of whole tiles where possible, so that each tile is decoded once.
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
    """Borders at most ``step`` apart.

    A border that is no whole level-0 pixel would make OpenSlide shift and so blur the piece: with
    a downsample such as 64.05 the borders are chosen among those that nearly are, tiles or not.
    Where none is, they are those of tiles, as far apart as possible.
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
    """The last pixel before a piece from which it can be read without being shifted.

    OpenSlide blurs a region whose corner is not a whole level-0 pixel. Where no corner in reach
    is one, the piece is read from its own: thousands of pixels more for a little less blur would
    make reading many times slower.
    """
    candidates = start - np.arange(min(start, REACH) + 1)
    l0 = candidates * downsample
    shift = np.abs(l0 - np.rint(l0)) / downsample
    good = shift <= SHIFT
    return int(candidates[np.argmax(good)]) if good.any() else start


def _within(plan: Plan, axis: int, start: int, stop: int) -> tuple[int, int]:
    return start - plan.l_corner[axis], stop - plan.l_corner[axis]


def _premultiplied(rgba: np.ndarray) -> np.ndarray:
    """Colours times alpha, and alpha: only so may transparent pixels be averaged."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return rgba
    return np.concatenate([rgba[..., :3] * (alpha / np.float32(255)), alpha], axis=-1)


def _ink(pixels: np.ndarray) -> np.ndarray:
    """How much darker than white pixels are that are laid over white.

    With colours multiplied by alpha, c + (255 − alpha) lies over white. Outside the slide ink is 0.
    """
    return pixels[..., 3:] - pixels[..., :3]
