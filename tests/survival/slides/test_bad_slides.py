"""Files that cannot be converted are refused with a reason; an image is never blank."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from survival.slides import SlideError, preprocess_slide


def test_nothing_but_background_is_an_error(tmp_path, tissue, write_tiff):
    glass = tissue[2000:2512, 0:512]  # from the real slide, next to the tissue
    noise = np.random.default_rng(0).integers(236, 245, (500, 700, 3), dtype=np.uint8)
    for name, pixels in {
        "white": np.full((500, 700, 3), 255, np.uint8),
        "black": np.zeros((500, 700, 3), np.uint8),
        "noise": noise,
        "glass": glass,
    }.items():
        path = write_tiff(tmp_path / f"{name}.tif", [pixels])
        with pytest.raises(SlideError, match="shows nothing but background"):
            preprocess_slide(path, 32)
    path = write_tiff(tmp_path / "sparse.tif", [(768, 1024)])
    with pytest.raises(SlideError, match="shows nothing but background.*255, 255, 255"):
        preprocess_slide(path, 16)
    # A single nucleus is enough.
    glass = glass.copy()
    glass[256:288, 256:288] = (90, 40, 120)
    preprocess_slide(write_tiff(tmp_path / "speck.tif", [glass]), 32)


def test_files_that_are_not_slides_are_refused_with_a_reason(tmp_path, svs):
    path = tmp_path / "a.svs"
    for data, reason in {
        b"": "empty",
        b"not at all\n": "not a slide that OpenSlide can read .NDPI",
        b"II*\0\x08\0\0\0": "a truncated or damaged TIFF",
        b"\n<!DOCTYPE HTML>\n<html><title>Log in": "a web page .HTML., such as a login",
        b"<?xml version='1.0'?><Error>": "an XML text",
        b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer.*git lfs pull",
        b"PK\3\4 and so on": "a ZIP archive",
        bytes(5000): "zeros only",
    }.items():
        path.write_bytes(data)
        with pytest.raises(SlideError, match=reason):
            preprocess_slide(path)
    for kind in ("PNG", "JPEG"):
        Image.new("RGB", (300, 200), "red").save(path, kind)
        said = f"a plain {kind} image of 300x200 pixels.*vips tiffsave 'a.svs' out.tif --tile"
        with pytest.raises(SlideError, match=said):
            preprocess_slide(path)
    with pytest.raises(SlideError, match="is a folder"):
        preprocess_slide(tmp_path)
    with pytest.raises(FileNotFoundError):
        preprocess_slide(tmp_path / "nothing.svs")


def test_tiffs_that_openslide_cannot_read_are_diagnosed(tmp_path, tissue):
    path, pixels = tmp_path / "a.tif", tissue[:300, :400]
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None)
    with pytest.raises(SlideError, match="a TIFF stored in strips, .*vips tiffsave 'a.tif'"):
        preprocess_slide(path)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(SlideError, match="an OME-TIFF of an unsupported kind"):
        preprocess_slide(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_slide_never_becomes_an_image(tmp_path, svs, tissue, share):
    data = svs.read_bytes()
    cut = tmp_path / "cut.svs"
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(SlideError, match="truncated"):
        preprocess_slide(cut)
    # A TIFF whose directory comes first can be opened although tiles are missing.
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, tissue, tile=(256, 256), photometric="rgb", compression="jpeg")
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(SlideError, match="truncated|cannot be decoded"):
        preprocess_slide(cut, 16)


def test_flipped_bits_are_an_error_or_hardly_visible(tmp_path, svs):
    """What libjpeg only warns about is an error in OpenSlide."""
    data, whole = svs.read_bytes(), preprocess_slide(svs, 16, (150, 200)).image.astype(int)
    random, path, refused = np.random.default_rng(0), tmp_path / "a.svs", 0
    for _ in range(12):
        flipped = np.frombuffer(data, np.uint8).copy()
        flipped[random.integers(0, len(data), 30)] ^= 1 << 5
        path.write_bytes(flipped.tobytes())
        try:
            image = preprocess_slide(path, 16, (150, 200)).image
        except SlideError:
            refused += 1
        else:
            assert (np.abs(image - whole).max(-1) > 8).mean() < 0.01
    assert refused > 6


def test_tiles_that_cannot_be_decoded_are_an_error(tmp_path, tissue, write_tiff):
    path = write_tiff(tmp_path / "a.tif", [tissue[:600, :600]])
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[4], tiff.pages[0].databytecounts[4]
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(SlideError, match="cannot be decoded"):
        preprocess_slide(path, 8)


def overwritten(whole, path, **tags):
    """Return a copy of a TIFF with other values for some tags."""
    path.write_bytes(whole.read_bytes())
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, (value, kind) in tags.items():
            tiff.pages[0].tags[name].overwrite(value, dtype=kind)
    return path


def test_a_directory_that_contradicts_itself_is_refused(tmp_path, tissue, write_tiff):
    """OpenSlide would assemble a wrong image from the listed tiles, or omit tiles."""
    pixels = tissue[900:1412, 700:1212]
    whole = write_tiff(tmp_path / "whole.tif", [pixels, pixels[::2, ::2]])
    preprocess_slide(whole, 8, (80, 80))
    long, tile = 4, (65_520, 4)
    for tags, said in (
        ({"ImageWidth": (1024, long)}, "1024x512 pixels in tiles of 256x256 needs 8 tiles, but"),
        ({"ImageLength": (200_000, long)}, "needs 1,564 tiles, but the file lists 4 offsets"),
        ({"TileByteCounts": ([10**8] * 4, long)}, "4 of the 4 tiles .* beyond the end of the file"),
        ({"TileOffsets": ([0] * 4, 16)}, "4 of the 4 tiles .* are in the header"),
        ({"TileWidth": tile, "TileLength": tile}, "tiles of 65520x65520 .* in bounded memory"),
    ):
        path = overwritten(whole, tmp_path / "a.tif", **tags)
        with pytest.raises(SlideError, match=said):
            preprocess_slide(path, 8, (80, 80), fit=True)


def test_a_huge_tile_is_refused_before_it_is_decoded(tmp_path, tissue):
    good, bomb = io.BytesIO(), io.BytesIO()
    Image.fromarray(tissue[900:1156, 700:956]).save(good, "jpeg")
    Image.new("RGB", (3000, 3000), "purple").save(bomb, "jpeg", progressive=True)
    path = tmp_path / "bomb.tif"
    tiles = [good.getvalue()] * 3 + [bomb.getvalue()]
    options = {"shape": (512, 512, 3), "dtype": "uint8", "tile": (256, 256)}
    tifffile.imwrite(path, iter(tiles), photometric="ycbcr", compression="jpeg", **options)
    with pytest.raises(SlideError, match="a tile has 3000x3000 pixels, not 256x256"):
        preprocess_slide(path, 8, (80, 80))


def test_invalid_settings_are_refused(svs):
    for wrong, said in {
        "downsample must be a number >= 1, not 0.5": {"downsample": 0.5},
        "downsample must be a number >= 1, not nan": {"downsample": float("nan")},
        "not both": {"downsample": 64, "mpp": 8},
        "mpp must be a number": {"mpp": 0},
        "canvas must be": {"canvas": (2500, 0)},
        "canvas must be a width and a height": {"canvas": 2500},
        "more than 80,000,000 pixels, not 20000x20000": {"canvas": (20000, 20000)},
    }.items():
        with pytest.raises(ValueError, match=wrong):
            preprocess_slide(svs, **said)
