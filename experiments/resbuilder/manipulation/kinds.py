"""Four ways to manipulate a region of a photograph.

Each function takes uint8 pixels (size, size, 3) from a camera's JPEG, the mask of the region (bool,
(size, size)) and a random generator. It returns the new content of the region, uint8 of the image's
shape (only the pixels under the mask matter), and its parameters for the table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon2mask
from skimage.restoration import inpaint_biharmonic
from skimage.transform import SimilarityTransform, warp

from resbuilder.datasets.error_level import jpeg

# JPEG qualities of the source image and of the final file. The final quality is the highest,
# because a lower one would erase the traces of a manipulation.
CAMERA, FILE = (55, 85), (90, 98)
LEAST_CHANGE_OF_QUALITY = 15
AREA = (0.05, 0.15)  # share of the image


def draw_quality(qualities: tuple[int, int], rng: np.random.Generator) -> int:
    """Draw a JPEG quality between two, both included."""
    return int(rng.integers(*qualities, endpoint=True))


def draw_region(size: int, rng: np.random.Generator, area: tuple[float, float] = AREA):
    """Draw a random blob inside the image: a circle whose radius varies with the angle.

    Args:
        size: Side of the image in pixels.
        rng: Random generator.
        area: Smallest and largest share of the image, up to rounding to pixels.

    Returns:
        The mask, bool (size, size).
    """
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.arange(1, 5)
    phases = rng.uniform(0, 2 * np.pi, 4)
    amplitudes = rng.uniform(0, 0.25, 4) / waves
    radius = 1 + amplitudes @ np.cos(np.outer(waves, angles) + phases[:, None])
    outline = radius[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    rows, columns = outline.T
    enclosed = abs(rows @ np.roll(columns, 1) - columns @ np.roll(rows, 1)) / 2
    outline *= size * np.sqrt(rng.uniform(*area) / enclosed)
    low, high = -outline.min(axis=0), size - 1 - outline.max(axis=0)
    return polygon2mask((size, size), outline + rng.uniform(low, high))


def blend(image: np.ndarray, region: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Put a region into an image; its edge is softened inwards, and nothing outside changes."""
    weight = (mask * gaussian_filter(mask.astype(float), 0.8))[..., None]
    return np.rint(weight * region + (1 - weight) * image).astype(np.uint8)


def splice(image, mask, rng, donor) -> tuple[np.ndarray, dict]:
    """Take the region from another photograph with its own JPEG quality.

    Args:
        image: See above.
        mask: See above.
        rng: See above.
        donor: A crop of the other photograph and its origin, as ``crop`` returns them.
    """
    pixels, origin = donor
    quality = draw_quality(CAMERA, rng)
    return jpeg(pixels, quality), {"donor": origin["photograph"], "region_quality": quality}


def copy_move(image, mask, rng) -> tuple[np.ndarray, dict]:
    """Take the region from another place of the same image, slightly scaled and rotated."""
    size = len(mask)
    points = np.argwhere(mask)
    center = points.mean(axis=0)
    radius = np.linalg.norm(points - center, axis=1).max()
    scale, angle = rng.uniform(0.9, 1.1), rng.uniform(-15, 15)
    grid = np.argwhere(np.ones((size, size), bool))
    inside = (np.abs(grid - (size - 1) / 2) <= (size - 1) / 2 - 0.8 * radius).all(axis=1)
    # Regions are so small that such a place always exists.
    far = np.linalg.norm(grid - center, axis=1) >= 0.6 * radius
    source = rng.choice(grid[inside & far])
    to_origin = SimilarityTransform(translation=-center[::-1])
    turn = SimilarityTransform(scale=1 / scale, rotation=np.deg2rad(angle))
    to_source = SimilarityTransform(translation=source[::-1])
    moved = warp(image, to_origin + turn + to_source, order=1, mode="reflect", preserve_range=True)
    dy, dx = np.rint(center - source).astype(int).tolist()
    return np.rint(moved).astype(np.uint8), {"dx": dx, "dy": dy, "scale": scale, "angle": angle}


def inpaint(image, mask, rng) -> tuple[np.ndarray, dict]:
    """Fill the region smoothly from its edge (biharmonic), as if to remove an object."""
    filled = inpaint_biharmonic(image, mask, channel_axis=-1)
    return np.rint(255 * np.clip(filled, 0, 1)).astype(np.uint8), {}


def recompress(image, mask, rng, camera: int) -> tuple[np.ndarray, dict]:
    """Keep the pixels, but save them again at another quality.

    Args:
        image: See above.
        mask: See above.
        rng: See above.
        camera: Quality of the image's JPEG; the new one differs by 15 or more.
    """
    low, high = CAMERA[0] - 25, CAMERA[1]
    others = [q for q in range(low, high + 1) if abs(q - camera) >= LEAST_CHANGE_OF_QUALITY]
    quality = int(rng.choice(others))
    return jpeg(image, quality), {"region_quality": quality}


KINDS: dict[str, Callable] = {
    "splice": splice,
    "copy-move": copy_move,
    "inpainting": inpaint,
    "recompression": recompress,
}
