"""Textures of real H&E tissue that are large enough to cut slides from.

There are two sources: the repository's slide (skin: dermis and epidermis) and two crops of TCGA
slides (melanoma, fat) in the folder of shared data. Without the crops, the tumour is made of
epidermis, and the slides have no fat.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from experiments.survival.quilting import quilt

SLIDE = Path(__file__).parents[2] / "tests" / "fixtures" / "slides" / "CMU-1-Small-Region.svs"
# Width and height of a texture. Slides use windows of it in eight orientations.
SIZE = 1920, 1920
MELANOMA, FAT = CROPS = ("tcga-red-pen.png", "low-nuclei-score-level1.png")
WHITE = 246.0  # background of the repository's slide
MOST_PATCHES = 300
# Kinds of tissue are distinguished at a quarter of the resolution.
COARSE = 4


def crops_there(shared: Path | None) -> list[str]:
    """Return the names of the available crops of tissue in the shared data."""
    return [name for name in CROPS if shared and Path(shared, "slides", name).exists()]


def make_textures(shared: Path | None) -> dict[str, np.ndarray]:
    """Quilt one large texture of each kind of tissue, 0.5 µm per pixel.

    Args:
        shared: Folder of shared data; missing files are replaced as described above.

    Returns:
        ``dermis``, ``epidermis``, ``tumour`` and possibly ``fat``: uint8 arrays of ``SIZE``.
    """
    with openslide.OpenSlide(SLIDE) as slide:
        skin = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    is_dermis, is_epidermis = _kinds(skin)
    kinds = {
        "dermis": _patches(skin, is_dermis, side=128, share=0.8),
        "epidermis": _patches(skin, is_epidermis, side=96, share=0.97, turned=True),
    }
    if (melanoma := _crop(shared, MELANOMA, enlarge=2)) is not None:
        # The dense cells to the right of the pen marks.
        tumour = _kinds(melanoma)[1]
        tumour[: 150 // COARSE] = tumour[:, : 400 // COARSE] = False
        kinds["tumour"] = _patches(melanoma, tumour, side=128, share=0.9, turned=True)
    else:
        kinds["tumour"] = kinds["epidermis"]
    if (fat := _crop(shared, FAT)) is not None:
        everywhere = np.ones([n // COARSE for n in fat.shape[:2]], bool)
        kinds["fat"] = _patches(fat, everywhere, side=192, share=1, turned=True)
    rng = np.random.default_rng(0)
    return {
        kind: quilt(patches, *SIZE, overlap=patches.shape[1] // 12 * 4, rng=rng)
        for kind, patches in kinds.items()
    }


def _kinds(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of collagen (pink) and of cells (blue), at 1/COARSE of the image's size."""
    small = np.asarray(Image.fromarray(image).reduce(COARSE), np.float32)
    red, _, blue = (gaussian_filter(small[..., c], 14 / COARSE) for c in range(3))
    tissue = uniform_filter((small.min(axis=-1) < 215).astype(np.float32), 64 // COARSE)
    pink, blueish = red - blue > 22, red - blue < 20
    # Darker pixels are keratin.
    return (tissue > 0.5) & pink, (tissue > 0.85) & blueish & (red > 108) & (red < 175)


def _crop(shared: Path | None, name: str, enlarge: int = 1) -> np.ndarray | None:
    if name not in crops_there(shared):
        return None
    with Image.open(Path(shared, "slides", name)) as opened:
        image = opened.convert("RGB")
    size = tuple(enlarge * n for n in image.size)
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
    # The background gets as white as that of the repository's slide.
    pixels = pixels * (WHITE / np.percentile(pixels, 99, axis=(0, 1)))
    return np.clip(pixels, 0, WHITE).astype(np.uint8)


def _patches(image, where, side: int, share: float, turned: bool = False) -> np.ndarray:
    """Return squares of an image that lie almost entirely within a kind of tissue.

    Args:
        image: uint8 (height, width, 3).
        where: Mask of the kind at 1/COARSE of the image's size.
        side: Side of the squares in pixels.
        share: Least share of a square that is of the kind.
        turned: Whether the kind looks the same in all orientations.
    """
    inside = uniform_filter(where.astype(np.float32), side // COARSE)
    half, step = side // 2 // COARSE, 2
    corners = np.argwhere(inside[half:-half:step, half:-half:step] >= share - 1e-3) * step * COARSE
    corners = corners[:: -(-len(corners) // MOST_PATCHES)]
    patches = np.stack([image[y : y + side, x : x + side] for y, x in corners])
    if turned:
        # No mirror images: they fit best next to the original, and the symmetry would be visible.
        patches = np.concatenate([np.rot90(patches, k, axes=(1, 2)) for k in range(4)])
        patches = patches[:: -(-len(patches) // MOST_PATCHES)]
    return patches
