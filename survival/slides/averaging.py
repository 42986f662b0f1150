"""Area averaging by any real factor, which is exact even if an image is read in pieces.

Along an axis, cell k covers [k·f, (k + 1)·f) and pixel p covers [p, p + 1). The mean of a cell is

    Σ_p w_kp·x_p,  w_kp = |cell k ∩ pixel p| / f.

Invariant: Σ_p w_kp = 1 for every cell inside the image, and Σ_k w_kp = 1/f for every pixel, so the
mean brightness is preserved. The sum over p can be split over pieces without changing the result.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from scipy import sparse


def cells_over(length: int, factor: float) -> int:
    """Return how many cells of ``factor`` pixels cover ``length`` pixels.

    The last cell may extend beyond the last pixel.
    """
    # With a tolerance, so that 2500.0000000001 gives 2500.
    return max(1, math.ceil(length / factor - 1e-6))


def area_weights(start: int, stop: int, factor: float, cells: int) -> tuple[int, sparse.csr_matrix]:
    """Return the weights w_kp of the pixels of a piece along one axis, see the module.

    Summed over all pieces of the axis, the weights of a cell are 1, or less for a last cell that
    extends beyond the image.

    Args:
        start: First pixel of the piece.
        stop: Pixel after the last one of the piece.
        factor: Pixels per cell f, any positive number.
        cells: Number of cells on the whole axis.

    Returns:
        The first cell that the piece touches, and a float32 matrix (touched cells, pixels).
    """
    # Between two neighboring borders, of pixels or cells, there is exactly one pixel and one cell.
    inner = factor * np.arange(math.floor(start / factor) + 1, math.ceil(stop / factor))
    borders = np.union1d(np.arange(start, stop + 1), inner)
    borders = borders[(borders >= start) & (borders <= stop)]
    middles = (borders[:-1] + borders[1:]) / 2
    pixel = np.floor(middles).astype(int) - start
    cell = np.minimum(np.floor(middles / factor).astype(int), cells - 1)
    first = cell[0]
    weights = (np.diff(borders) / factor).astype(np.float32)
    shape = (cell[-1] - first + 1, stop - start)
    return int(first), sparse.csr_matrix((weights, (cell - first, pixel)), shape=shape)


def average(image: np.ndarray, rows: sparse.csr_matrix, columns: sparse.csr_matrix) -> np.ndarray:
    """Return averages over areas: rows @ image @ columnsᵀ for every channel.

    Args:
        image: (height, width, channels), any real type.
        rows: Weights (new height, height).
        columns: Weights (new width, width).

    Returns:
        float32 array (new height, new width, channels).
    """
    height, width, channels = image.shape
    image = rows @ image.reshape(height, -1).astype(np.float32, copy=False)
    image = image.reshape(-1, width, channels).transpose(1, 0, 2).reshape(width, -1)
    image = columns @ image
    return image.reshape(columns.shape[0], -1, channels).transpose(1, 0, 2)


def average_of_blocks(image: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """Return rounded averages over blocks of whole pixels, several times faster than `average`.

    Args:
        image: uint8 (height, width, 4), with both sides multiples of their factors. Pillow uses
            such an array directly, whereas it would copy one with three channels.
        factors: Width and height of a block.

    Returns:
        uint8 array (height / factor, width / factor, 4).
    """
    if factors == (1, 1):
        return image
    height, width = image.shape[:2]
    whole = Image.frombuffer("RGBX", (width, height), np.ascontiguousarray(image))
    return np.asarray(whole.reduce(factors))
