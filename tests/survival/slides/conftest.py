"""Fixtures: real tissue, and slide files made from it."""

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

FIXTURES = Path(__file__).parents[2] / "fixtures" / "slides"


@pytest.fixture(scope="session")
def svs() -> Path:
    return FIXTURES / "CMU-1-Small-Region.svs"


@pytest.fixture(scope="session")
def tissue(svs) -> np.ndarray:
    """Return the pixels of the fixture slide, uint8 (2967, 2220, 3)."""
    with openslide.OpenSlide(svs) as slide:
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    pixels.flags.writeable = False
    return pixels


@pytest.fixture(scope="session")
def write_tiff():
    """Writes levels as a tiled TIFF, losslessly; a level (height, width) has no tiles at all.

    Scanners leave out tiles where they saw no tissue.
    """

    def write(path, levels, tile=256, **options):
        options |= {"photometric": "rgb", "compression": "deflate", "metadata": None}
        with tifffile.TiffWriter(path, bigtiff=True) as tiff:
            for i, level in enumerate(levels):
                options |= {"tile": (tile, tile), "subfiletype": int(i > 0)}
                if isinstance(level, np.ndarray):
                    tiff.write(level, **options)
                else:
                    height, width = level
                    tiles = (b"" for _ in range(-(-height // tile) * -(-width // tile)))
                    tiff.write(tiles, shape=(height, width, 3), dtype="uint8", **options)
        return path

    return write
