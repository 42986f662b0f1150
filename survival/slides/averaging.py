"""Area averaging by any real factor, exact when an image is read in pieces."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from scipy import sparse


def cells_over(length: int, factor: float) -> int:
    """Number of cells of ``factor`` pixels that cover ``length`` pixels; the last may stick out."""
    # A hair less than the quotient: 2500.0000000001 is 2500.
    return max(1, math.ceil(length / factor - 1e-6))


def area_weights(start: int, stop: int, factor: float, cells: int) -> tuple[int, sparse.csr_matrix]:
    """Weights with which the pixels of a piece enter the averages along one axis.

    Cell k covers [k·factor, (k + 1)·factor), pixel p covers [p, p + 1), and the weight is the
    length that they share over the length of a cell. Summed over all pieces of an axis the weights
    of a cell are 1, or less for a last cell that sticks out, and those of a pixel are 1/factor:
    the mean brightness is kept.

    Args:
        start: First pixel of the piece.
        stop: Pixel after its last.
        factor: Pixels per cell, any positive number.
        cells: Number of cells of the whole axis.

    Returns:
        The first cell that the piece touches, and a float32 matrix (touched cells, pixels).
    """
    # Between two neighbouring borders, of pixels or cells, lies one pixel and one cell.
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
    """Average over areas: rows @ image @ columnsᵀ for every channel.

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
    """Average over blocks of whole pixels: rounded, several times faster than :func:`average`.

    Args:
        image: uint8 (height, width, 4), both sides multiples of their factors. Pillow takes such
            an array as it is, and would copy one of three colours.
        factors: Width and height of a block.

    Returns:
        uint8 array (height / factor, width / factor, 4).
    """
    if factors == (1, 1):
        return image
    height, width = image.shape[:2]
    whole = Image.frombuffer("RGBX", (width, height), np.ascontiguousarray(image))
    return np.asarray(whole.reduce(factors))
