"""Slide files: pyramids of JPEG tiles in a TIFF that OpenSlide reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from resbuilder.common.files import atomically

TILE = 256
QUALITY = 80


def write_slide(
    path: Path, picture: Image.Image, level_factor: int, levels: int, mpp: float, description: str
) -> None:
    """Write a slide atomically.

    The sides of a level are those of the level below, divided and rounded down as scanners do.
    Therefore the downsamples that OpenSlide reports are not integers.

    Args:
        path: The file, ``.tif``.
        picture: Level 0, RGB.
        level_factor: Factor between one level and the next.
        levels: Number of levels.
        mpp: Micrometres per pixel of level 0.
        description: ASCII text stored in the file, which :func:`is_whole` compares.
    """
    with atomically(path) as part, tifffile.TiffWriter(part) as tiff:
        for level in range(levels):
            if level:
                whole = (n // level_factor * level_factor for n in picture.size)
                picture = picture.crop((0, 0, *whole)).reduce(level_factor)
            resolution = 1e4 / (mpp * level_factor**level)
            tiff.write(
                np.asarray(picture),
                photometric="rgb",
                subsampling=(2, 2),
                compression="jpeg",
                compressionargs={"level": QUALITY},
                tile=(TILE, TILE),
                resolution=(resolution, resolution),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                description=description if level == 0 else None,
                metadata=None,
                maxworkers=1,
            )


def is_whole(path: Path, description: str) -> bool:
    """Return whether a slide exists, has this description, and is not truncated."""
    try:
        with tifffile.TiffFile(path) as tiff:
            ends = [
                offset + count
                for page in tiff.pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
            described = tiff.pages[0].description == description
            return described and max(ends) <= path.stat().st_size
    except (OSError, tifffile.TiffFileError):
        return False
