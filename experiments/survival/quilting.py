"""Image quilting (Efros and Freeman, SIGGRAPH 2001): a large texture from a small one."""

from __future__ import annotations

import numpy as np

# Overlaps are compared at a quarter of their resolution: visible seams are coarser than pixels.
_COARSE = 4


def quilt(
    patches: np.ndarray, width: int, height: int, overlap: int, rng: np.random.Generator
) -> np.ndarray:
    """Tile patches such that their overlaps agree, and cut them where they agree best.

    Args:
        patches: Pieces of one texture, uint8 (n, side, side, 3).
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        overlap: Overlap of neighbors in pixels, a multiple of 4.
        rng: Random generator that chooses among the patches that fit well.

    Returns:
        uint8 array (height, width, 3).
    """
    side = patches.shape[1]
    step = side - overlap
    rows, columns = (-(-(n - overlap) // step) for n in (height, width))
    image = np.zeros((rows * step + overlap, columns * step + overlap, 3), np.uint8)
    # The left and upper borders of every patch, to compare with the patches already placed.
    left, top = _Strips(patches[:, :, :overlap]), _Strips(patches[:, :overlap])
    used = np.zeros(len(patches))
    for row in range(rows):
        for column in range(columns):
            y, x = row * step, column * step
            there = image[y : y + side, x : x + side]
            error = np.zeros(len(patches))
            if column:
                error += left.error(there[:, :overlap])
            if row:
                error += top.error(there[:overlap])
            # Frequently used patches get a penalty, because repetitions are very visible.
            error *= 1 + used
            chosen = rng.choice(np.argpartition(error, 5)[:5])
            used *= 0.98
            used[chosen] += 1
            patch = patches[chosen]
            keep = np.zeros((side, side), np.float32)
            if column:
                keep[:, :overlap] = _old_side(there[:, :overlap], patch[:, :overlap])
            if row:
                across = _old_side(
                    there[:overlap].transpose(1, 0, 2), patch[:overlap].transpose(1, 0, 2)
                ).T
                keep[:overlap] = np.maximum(keep[:overlap], across)
            there[:] = there * keep[..., None] + patch * (1 - keep[..., None]) + 0.5
    return image[:height, :width]


class _Strips:
    """Strips of many patches, for comparison with one strip."""

    def __init__(self, strips: np.ndarray):
        self.strips = np.stack([_coarse(strip) for strip in strips])
        self.squares = (self.strips**2).sum(axis=1)

    def error(self, there: np.ndarray) -> np.ndarray:
        """Return squared differences, plus a small number so that no match is perfect."""
        there = _coarse(there)
        return self.squares - 2 * self.strips @ there + (there**2).sum() + there.size


def _coarse(strip: np.ndarray) -> np.ndarray:
    height, width, _ = strip.shape
    cells = strip.reshape(height // _COARSE, _COARSE, width // _COARSE, _COARSE, 3)
    return cells.mean(axis=(1, 3), dtype=np.float32).ravel()


def _old_side(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return which pixels of an overlap stay: those left of the vertical path with the least error.

    Returns:
        float32 array (length, overlap): 1 left of the path, 0 right of it, smooth in between.
    """
    error = ((old.astype(np.float32) - new) ** 2).sum(axis=-1)
    cost = error.copy()
    for i in range(1, len(cost)):
        before, least = cost[i - 1], cost[i - 1].copy()
        np.minimum(least[1:], before[:-1], out=least[1:])
        np.minimum(least[:-1], before[1:], out=least[:-1])
        cost[i] += least
    path = np.empty(len(cost), int)
    path[-1] = cost[-1].argmin()
    for i in range(len(cost) - 2, -1, -1):
        first = max(0, path[i + 1] - 1)
        path[i] = first + cost[i, first : path[i + 1] + 2].argmin()
    distance = path[:, None] - np.arange(error.shape[1])
    return np.clip(distance / 6 + 0.5, 0, 1).astype(np.float32)
