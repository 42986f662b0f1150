"""Normalize the colors of every image to one mean and spread, after Reinhard et al. (2001).

This is the first thing that users would try against a scanner's colors. It needs no data of
another scanner, because every image gets the same mean and spread.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from resbuilder.common.files import atomically

IMAGES = "images_normalized"
# Mean and standard deviation of L, a, b over tissue; near those of scanner A.
MEAN, SPREAD = (60.0, 28.0, -9.0), (11.5, 8.3, 4.3)


def normalize(image: np.ndarray) -> np.ndarray:
    """Normalize the tissue of an image to a fixed mean and spread of colors.

    Args:
        image: uint8, shape (height, width, 3).

    Returns:
        uint8 of the same shape; the background is unchanged.
    """
    tissue = image.min(axis=-1) < 225
    if tissue.sum() < 10:
        return image
    lab = rgb2lab(image)
    found = lab[tissue]
    lab[tissue] = (found - found.mean(axis=0)) / (found.std(axis=0) + 1e-6) * SPREAD + MEAN
    changed = np.rint(255 * np.clip(lab2rgb(lab), 0, 1)).astype("uint8")
    return np.where(tissue[..., None], changed, image)


def normalize_images(source: Path, target: Path) -> None:
    """Write normalized images, and the manifest, of a folder made by ``survival preprocess``.

    Args:
        source: The folder.
        target: Folder for the same files; existing ones that are not older are kept.
    """
    with open(source / "manifest.csv", newline="", encoding="utf-8") as file:
        outputs = [row["output"] for row in csv.DictReader(file) if row["status"] == "ok"]
    for output in outputs:
        if not _is_made(target / output, source / output):
            (target / output).parent.mkdir(parents=True, exist_ok=True)
            with Image.open(source / output) as image:
                changed = normalize(np.asarray(image.convert("RGB")))
            with atomically(target / output) as part:
                Image.fromarray(changed).save(part)
    with atomically(target / "manifest.csv") as part:
        part.write_bytes((source / "manifest.csv").read_bytes())


def _is_made(target: Path, source: Path) -> bool:
    return target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns
