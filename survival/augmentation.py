"""Augmentation: random mirroring and random changes of the stain of training images."""

from __future__ import annotations

import numpy as np
from skimage.color import hed2rgb, rgb2hed

# Largest relative change of each stain, and largest shift; 0.01 changes the absorbance by 0.14.
STAIN_SCALE, STAIN_SHIFT = 0.2, 0.01


def flip(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirror each axis with probability 1/2, because tissue has no preferred orientation.

    Args:
        image: uint8, shape (height, width, 3).
        random: Random number generator.

    Returns:
        A view of the image.
    """
    vertical, horizontal = random.integers(0, 2, size=2)
    return image[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def stain(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change the amounts of haematoxylin, eosin and the residual stain at random.

    This imitates the staining of different laboratories. The color deconvolution of Ruifrok and
    Johnston (2001) separates the stains. Where there is tissue, each stain is scaled and shifted,
    as in Tellez et al. (2019), and the stains are combined again.

    Args:
        image: uint8, shape (height, width, 3).
        random: Random number generator.

    Returns:
        uint8, the same shape.
    """
    scale = random.uniform(1 - STAIN_SCALE, 1 + STAIN_SCALE, size=3)
    shift = random.uniform(-STAIN_SHIFT, STAIN_SHIFT, size=3)
    stains = rgb2hed(image)
    changed = np.clip(hed2rgb(stains * scale + shift), 0, 1)
    return np.where(_tissue(image), np.rint(255 * changed), image).astype("uint8")


def _tissue(image: np.ndarray) -> np.ndarray:
    """Return where the image is not white, shape (height, width, 1); background has no stain."""
    return (image.min(axis=-1, keepdims=True) < 235) | (np.ptp(image, axis=-1, keepdims=True) > 25)


AUGMENTATIONS = {"flip": flip, "stain": stain}
