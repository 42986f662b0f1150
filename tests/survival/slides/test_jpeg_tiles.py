"""Tiles decoded without OpenSlide give the same pixels; other files are left to OpenSlide."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from survival.slides.geometry import make_plan
from survival.slides.identity import TilesHash
from survival.slides.jpeg_tiles import read_jpeg_tiles
from survival.slides.reading import open_slide, read_over_white
from survival.slides.settings import Settings


def both(path, downsample):
    """Return the image decoded without OpenSlide, and with it."""
    with open_slide(path) as slide:
        plan = make_plan(slide, Settings(downsample, canvas=(3000, 3000)))
        tiles = read_jpeg_tiles(path, slide, plan)
        return tiles and tiles[0], read_over_white(slide, plan)


def jpeg(pixels, **options):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", **options)
    return file.getvalue()


def write(path, levels, **options):
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg"} | options
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as tiff:
        for i, level in enumerate(levels):
            tiff.write(level, subfiletype=int(i > 0), **options)
    return path


@pytest.mark.parametrize("downsample", [1, 7.3, 64])
def test_an_aperio_slide(svs, downsample):
    """Tiles of 240 pixels with shared tables; the last row and column are incomplete."""
    tiles, whole = both(svs, downsample)
    assert np.abs(tiles.astype(int) - whole).max() <= 1
    assert (tiles != whole).mean() < 1e-3


@pytest.mark.parametrize("colors", ["rgb", "ycbcr"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiffs_with_levels(tmp_path, tissue, colors, bigtiff):
    levels = [tissue[:1003, :777], tissue[:501, :388], tissue[:250, :194]]
    path = write(tmp_path / "a.tif", levels, photometric=colors, bigtiff=bigtiff)
    for downsample in (1, 2, 3, 4, 9.5):
        tiles, whole = both(path, downsample)
        assert np.abs(tiles.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("stream", "colors"), [("YCbCr", "rgb"), ("RGB", "ycbcr")])
def test_colors_are_those_that_openslide_sees(tmp_path, tissue, stream, colors):
    """The JPEG streams and the TIFF state different color spaces."""
    tile = jpeg(tissue[800:1056, 800:1056], keep_rgb=stream == "RGB")
    options = {"shape": (512, 512, 3), "dtype": "uint8", "photometric": colors}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, iter([tile] * 4), tile=(256, 256), compression="jpeg", **options)
    tiles, whole = both(path, 8)
    assert tiles is None or np.abs(tiles.astype(int) - whole).max() <= 1


def test_files_that_are_not_plain_are_left_to_openslide(tmp_path, tissue):
    pixels = tissue[800:1312, 700:1212]
    for options in ({"compression": "deflate"}, {"compression": "jpeg", "tile": (2048, 4096)}):
        tiles, _ = both(write(tmp_path / "a.tif", [pixels], **options), 8)
        assert tiles is None
    gap = [jpeg(pixels[:256, :256]), b"", b"", jpeg(pixels[256:, 256:])]
    options = {"shape": (512, 512, 3), "dtype": "uint8", "photometric": "ycbcr"}
    path = tmp_path / "gap.tif"
    tifffile.imwrite(path, iter(gap), tile=(256, 256), compression="jpeg", **options)
    tiles, whole = both(path, 8)
    assert tiles is None
    assert (whole[:32, 32:] == 255).all()


def test_a_damaged_tile_is_left_to_openslide(tmp_path, tissue):
    path = write(tmp_path / "a.tif", [tissue[:1024, :1024]])
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[9], tiff.pages[0].databytecounts[9]
    data = bytearray(path.read_bytes())
    data[start + size // 2 : start + size] = bytes(size - size // 2)
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert read_jpeg_tiles(path, slide, make_plan(slide, Settings(16))) is None


def test_any_number_of_threads_gives_the_same_image(svs):
    with open_slide(svs) as slide:
        plan = make_plan(slide, Settings(10))
        one, three = (read_jpeg_tiles(svs, slide, plan, threads)[0] for threads in (1, 3))
    assert (one == three).all()


def test_the_hash_of_the_tiles_depends_only_on_the_level(svs):
    hashes = set()
    with open_slide(svs) as slide:
        for downsample, exact, threads in ((10, True, 1), (64, True, 3), (64, False, 1)):
            tiles, plan = TilesHash(), make_plan(slide, Settings(downsample))
            read_jpeg_tiles(svs, slide, plan, threads, exact=exact, tiles=tiles)
            hashes.add(tiles.hexdigest())
    assert len(hashes) == 1
