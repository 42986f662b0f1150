"""One slide: level, average, colors, position, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
import xxhash
from PIL import Image, ImageCms

from survival.images import CanvasImages
from survival.slides import SlideError, preprocess_slide
from survival.slides.preprocess import read_provenance
from survival.slides.reading import _corner, _cut


def brute_force(pixels, factor_x, factor_y):
    """Return the float64 area average over white, by the integral function along each axis."""
    ink = 255.0 - pixels
    for axis, factor in ((0, factor_y), (1, factor_x)):
        ink = np.moveaxis(ink, axis, 0)
        integral = np.concatenate([np.zeros_like(ink[:1]), np.cumsum(ink, axis=0)])
        borders = factor * np.arange(np.ceil(len(ink) / factor - 1e-6) + 1)
        borders = np.minimum(borders, len(ink))
        low = np.minimum(borders.astype(int), len(ink) - 1)
        share = (borders - low)[:, None, None]
        at_borders = integral[low] * (1 - share) + integral[low + 1] * share
        ink = np.moveaxis(np.diff(at_borders, axis=0) / factor, 0, axis)
    return 255 - ink


def content(result):
    """Return the slide's part of the canvas, and check that the rest is white."""
    record = result.provenance
    left, top = record["left"], record["top"]
    inner = (slice(top, top + record["height"]), slice(left, left + record["width"]))
    outside = np.ones(result.image.shape[:2], bool)
    outside[inner] = False
    assert (result.image[outside] == 255).all()
    return result.image[inner]


@pytest.mark.parametrize("factor", [7.3, 64, 300])
def test_average_of_a_real_slide_is_that_of_its_pixels(svs, tissue, factor):
    """The slide is read in nine pieces; comparing one channel is enough, and faster."""
    result = preprocess_slide(svs, factor, (320, 420), exact=True)
    assert result.provenance["filter"] == "area" and result.provenance["settings"]["exact"]
    green = tissue[..., 1:2]
    expected = brute_force(green, factor, factor)
    assert result.image.shape == (420, 320, 3) and result.image.dtype == np.uint8
    assert np.abs(content(result)[..., 1:2] - expected).max() <= 0.51
    # Brightness is preserved: the image has as much ink as the slide.
    ink = (255.0 - content(result)[..., 1]).sum() * factor**2
    assert ink == pytest.approx((255.0 - green).sum(), rel=1e-3)


@pytest.mark.parametrize("factor", [64, 128, 300])
def test_tiles_decoded_at_a_smaller_size_give_nearly_the_same_image(svs, tissue, factor):
    result = preprocess_slide(svs, factor, (320, 420))
    assert result.provenance["filter"] == "area, scaled decoding"
    assert "exact" not in result.provenance["settings"]
    # At most 0.52 before both are rounded. The slide ends within tiles, where the rest is white.
    expected = brute_force(tissue, factor, factor)
    assert np.abs(content(result) - expected).max() <= 0.52 + 0.5
    assert np.abs(content(result) - expected).mean() < 0.3
    exact = preprocess_slide(svs, factor, (320, 420), exact=True)
    assert exact.provenance["content"] == result.provenance["content"]


@pytest.mark.parametrize("factor", [1, 1.005, 1.5, 2])
def test_pixels_at_small_factors_are_exact_averages(tmp_path, tissue, write_tiff, factor):
    pixels = tissue[800:1200, 700:1150]
    result = preprocess_slide(write_tiff(tmp_path / "a.tif", [pixels]), factor, (450, 400))
    used = result.provenance["total_factor"]
    assert used == (1 if factor < 1.01 else factor)
    assert np.abs(content(result) - brute_force(pixels, used, used)).max() <= 0.51


def test_image_lies_in_the_middle_of_the_canvas(svs):
    record = preprocess_slide(svs, 16, (500, 401)).provenance
    assert (record["width"], record["height"]) == (139, 186)  # 2220 / 16, 2967 / 16, rounded up
    assert (record["left"], record["top"]) == ((500 - 139) // 2, (401 - 186) // 2)


@pytest.mark.parametrize("downsample", [5.5, 20])
def test_levels_whose_sides_were_rounded_are_read_without_a_seam(
    tmp_path, tissue, write_tiff, downsample
):
    # Level 1 has 1181x1115 pixels for 4727x4463: a downsample of 4.0026, read in four pieces whose
    # corners are rarely whole level-0 pixels.
    small = tissue[700:1815, 600:1781]
    path = write_tiff(tmp_path / "odd.tif", [(4463, 4727), small])
    result = preprocess_slide(path, downsample, (900, 900))
    assert result.provenance["level"] == 1
    factors = downsample / (4727 / 1181), downsample / (4463 / 1115)
    expected = brute_force(small[..., 1:2], *factors)
    assert np.abs(content(result)[..., 1:2] - expected).max() <= 1
    assert (preprocess_slide(path, downsample, (900, 900), threads=3).image == result.image).all()


@pytest.mark.parametrize("factor", [1, 2.3])
def test_a_level_ratio_of_2_0005_leaves_no_seam(tmp_path, tissue, write_tiff, factor):
    """Few corners of pieces are whole level-0 pixels; OpenSlide blurs the other pieces."""
    small = tissue[:1400, :2100, :]
    path = write_tiff(tmp_path / "odd.tif", [(2801, 4201), small], tile=512)
    with openslide.OpenSlide(path) as slide:
        ratio = slide.level_downsamples[1]
    assert ratio == pytest.approx(2.0005, abs=1e-4)
    result = preprocess_slide(path, factor * ratio, (2100, 1400))
    assert result.provenance["level"] == 1
    factors = (
        (1, 1) if factor == 1 else (factor * ratio * 2100 / 4201, factor * ratio / 2801 * 1400)
    )
    expected = brute_force(small[..., 1:2], *factors)
    assert np.abs(content(result)[..., 1:2] - expected).max() <= 1


@pytest.mark.parametrize("downsample", [4.000133, 4.0000133, 3.9999])
def test_a_level_without_whole_corners_is_not_decoded_many_times(downsample):
    decoded = 0
    columns = _cut(0, 25_000, 1024, 256, downsample)
    for start, stop in columns:
        decoded += stop - _corner(start, downsample)
    assert columns[-1][1] == 25_000 and len(columns) <= 26
    assert decoded**2 < 3.5 * 25_000**2  # for two axes


def test_a_level_of_64_05_is_the_level_of_64(tmp_path, tissue, write_tiff):
    small = tissue[1500:1564, 1100:1164]
    path = write_tiff(tmp_path / "a.tif", [(4099, 4099), small])
    for near in (63.5, 64, 64.6):
        result = preprocess_slide(path, near, (100, 100))
        record = result.provenance
        assert (record["level"], record["filter"]) == (1, "none")
        assert record["total_factor"] == record["level_factor"] == 4099 / 64
        np.testing.assert_array_equal(content(result), small)
    # Beyond the tolerance the level is too coarse, so level 0 is read, which is empty.
    with pytest.raises(SlideError, match="shows nothing but background"):
        preprocess_slide(path, 63, (100, 100))
    result = preprocess_slide(path, 65, (100, 100))
    assert (result.provenance["level"], result.provenance["filter"]) == (1, "area")


def test_levels_of_a_hamamatsu_slide(shared):
    path = shared / "slides" / "hamamatsu-dapi.ndpi"
    with openslide.OpenSlide(path) as slide:
        level = np.asarray(slide.read_region((0, 0), 5, slide.level_dimensions[5]))[..., :3]
    result = preprocess_slide(path, 32, (130, 160))
    np.testing.assert_array_equal(content(result), level)
    record = result.provenance
    assert (record["vendor"], record["level"], record["filter"]) == ("hamamatsu", 5, "none")
    assert record["output_mpp_x"] == pytest.approx(32 * 0.22817506)
    # A factor between two levels: the finer level is averaged.
    result = preprocess_slide(path, 50, (130, 160))
    assert (result.provenance["level"], result.provenance["total_factor"]) == (5, 50)
    assert np.abs(content(result) - brute_force(level, 50 / 32, 50 / 32)).max() <= 0.51


def test_micrometres_per_pixel_instead_of_a_factor(svs, tmp_path, tissue, write_tiff):
    record = preprocess_slide(svs, mpp=8, canvas=(200, 200)).provenance
    assert record["total_factor"] == pytest.approx(8 / 0.499)
    assert record["output_mpp_x"] == record["output_mpp_y"] == pytest.approx(8)
    with pytest.raises(SlideError, match="0.499 micrometres are larger than the 0.25 requested"):
        preprocess_slide(svs, mpp=0.25)
    without = write_tiff(tmp_path / "a.tif", [tissue[:300, :400]])
    with pytest.raises(SlideError, match="does not state the size of its pixels"):
        preprocess_slide(without, mpp=8)
    assert preprocess_slide(without, 8).provenance["output_mpp_x"] is None
    wide = {"resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}
    record = preprocess_slide(without, mpp=8, canvas=(200, 200), slide_mpp=0.5).provenance
    assert (record["total_factor"], record["output_mpp_x"]) == (16, 8)
    oblong = write_tiff(tmp_path / "b.tif", [tissue[:300, :400]], **wide)
    with pytest.raises(SlideError, match=r"not square \(0.5 by 0.25"):
        preprocess_slide(oblong, mpp=8)
    record = preprocess_slide(oblong, 8).provenance
    assert (record["output_mpp_x"], record["output_mpp_y"]) == pytest.approx((4, 2))


def test_implausible_resolutions_are_ignored(svs, tmp_path, tissue, write_tiff):
    tags = {"resolution": (72, 72), "resolutionunit": "INCH"}
    path = write_tiff(tmp_path / "a.tif", [tissue[:300, :400]], **tags)
    with pytest.raises(SlideError, match=r"352.8 micrometres per pixel \(72 dpi\).*--slide-mpp"):
        preprocess_slide(path, mpp=8)
    record = preprocess_slide(path, 16, (30, 30)).provenance
    assert record["output_mpp_x"] is None and "(72 dpi)" in record["notes"]
    record = preprocess_slide(path, mpp=8, canvas=(30, 30), slide_mpp=0.25).provenance
    assert record["total_factor"] == 32
    # A slide's own resolution takes precedence, with a note.
    record = preprocess_slide(svs, mpp=8, canvas=(200, 200), slide_mpp=0.25).provenance
    assert record["total_factor"] == pytest.approx(8 / 0.499)
    assert (
        "0.499 micrometres per pixel, so the 0.25 given with --slide-mpp were ignored"
        in record["notes"]
    )
    with pytest.raises(ValueError, match="slide_mpp must be .* <= 10, not 353"):
        preprocess_slide(svs, slide_mpp=353)


def test_tiny_and_dark_slides_get_notes(svs, tmp_path, tissue, write_tiff):
    assert preprocess_slide(svs, 16, (150, 200)).provenance["notes"] == ""
    notes = preprocess_slide(svs, 64, (2500, 2000)).provenance["notes"]
    assert notes.startswith("its image of 35x47 pixels covers only 0.033 % of the canvas")
    dark = (255 - tissue[900:1500, 700:1300]) // 4
    notes = preprocess_slide(write_tiff(tmp_path / "a.tif", [dark]), 8, (80, 80)).provenance[
        "notes"
    ]
    assert notes.startswith("its background is dark, as in fluorescence")


def test_only_copies_have_the_same_content(tmp_path, tissue):
    """Without a quickhash, which OpenSlide computes only for small levels, tiles are hashed."""
    noise = np.random.default_rng(0).integers(0, 256, (1536, 2048, 3), dtype=np.uint8)
    noise[:1400, :2048] = noise[:1400, :2048] // 8 + tissue[:1400, :2048] // 2
    for name in "abc":
        noise[0, 0] = name == "c"
        options = {"compression": "deflate", "photometric": "rgb", "tile": (512, 512)}
        tifffile.imwrite(tmp_path / f"{name}.tif", noise, metadata=None, **options)
    contents = [
        preprocess_slide(tmp_path / f"{name}.tif", factor, (300, 300)).provenance["content"]
        for name, factor in (("a", 8), ("b", 16), ("c", 8))
    ]
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert openslide.PROPERTY_NAME_QUICKHASH1 not in slide.properties
    assert contents[0] == contents[1] != contents[2]
    assert contents[0].startswith("tiles:")


def test_the_whole_file_is_hashed_on_request(svs, tmp_path):
    for name, add in (("a.svs", b""), ("b.svs", b""), ("c.svs", b"more")):
        (tmp_path / name).write_bytes(svs.read_bytes() + add)
    a, b, c = (
        preprocess_slide(tmp_path / name, 64, hash=True).provenance["hash"]
        for name in ("a.svs", "b.svs", "c.svs")
    )
    assert a == b != c
    assert a == f"xxh3:{xxhash.xxh3_128(svs.read_bytes()).hexdigest()}"


def test_copies_of_a_slide_are_recognized_without_a_manifest(tmp_path, svs):
    """The images differ, because they note the time of the slide's file."""
    for name in ("a", "b"):
        shutil.copy(svs, tmp_path / f"{name}.svs")
        os.utime(tmp_path / f"{name}.svs", (ord(name), ord(name)))
        image = preprocess_slide(tmp_path / f"{name}.svs", 64, (60, 50))
        image.save(tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    contents = CanvasImages(tmp_path, ["a.svs", "b.svs"]).contents
    assert contents == [image.provenance["content"]] * 2
    Image.new("RGB", (60, 50)).save(tmp_path / "c.png")
    assert CanvasImages(tmp_path, ["c.svs"]).contents[0].startswith("file:")


def test_a_slide_larger_than_the_canvas_is_refused_or_reduced_further(svs, tissue):
    with pytest.raises(SlideError, match="278x371 pixels is larger than the canvas of 300x200"):
        preprocess_slide(svs, 8, (300, 200))
    with pytest.raises(SlideError, match=r"a larger canvas or an mpp of about 7\.5$"):
        preprocess_slide(svs, canvas=(300, 200), mpp=4)
    result = preprocess_slide(svs, 8, (300, 200), fit=True)
    record = result.provenance
    assert record["height"] == 200 and record["total_factor"] == pytest.approx(2967 / 200)
    assert record["fit_factor"] == pytest.approx(2967 / 200 / 8)
    expected = brute_force(tissue[..., 1:2], 2967 / 200, 2967 / 200)
    assert np.abs(content(result)[..., 1:2] - expected).max() <= 0.51
    assert preprocess_slide(svs, 16, (300, 200), fit=True).provenance["fit_factor"] == 1


def test_a_slide_of_hundreds_of_thousands_of_pixels(tmp_path, tissue, write_tiff):
    level = np.tile(tissue, (1, 2, 1))[:2560, :3200]
    path = write_tiff(tmp_path / "huge.tif", [(163_840, 204_800), level], tile=1024)
    with pytest.raises(SlideError, match="3200x2560 .* downsample of about 82"):
        preprocess_slide(path)
    result = preprocess_slide(path, canvas=(1000, 800), fit=True)
    record = result.provenance
    assert (record["level"], record["total_factor"], record["fit_factor"]) == (1, 204.8, 3.2)
    expected = brute_force(level[..., 1:2], 3.2, 3.2)
    assert np.abs(content(result)[..., 1:2] - expected).max() <= 0.51


NM = 250


def scn_image(x, y, width, height, levels):
    """Return one scanned region of a Leica slide, with its levels in these file directories."""
    dimensions = "".join(
        f'<dimension sizeX="{width >> 2 * r}" sizeY="{height >> 2 * r}" r="{r}" ifd="{ifd}"/>'
        for r, ifd in enumerate(levels)
    )
    return (
        f'<image><creationDate/><device model="m" version="1"/><pixels sizeX="{width}" '
        f'sizeY="{height}">{dimensions}</pixels><view sizeX="{width * NM}" sizeY="{height * NM}" '
        f'offsetX="{x * NM}" offsetY="{y * NM}"/><scanSettings><objectiveSettings><objective>40'
        "</objective></objectiveSettings><illuminationSettings><illuminationSource>brightfield"
        "</illuminationSource></illuminationSettings></scanSettings></image>"
    )


def write_scn(path, regions):
    """Write a Leica SCN of 3000x2000 pixels with regions {(x, y): pixels} at levels 1 and 4."""
    directories = [np.full((200, 300, 3), 240, np.uint8)]
    macro = scn_image(0, 0, 3000, 2000, []).replace(
        'sizeX="3000" sizeY="2000"></p',
        'sizeX="300" sizeY="200"><dimension sizeX="300" sizeY="200" r="0" ifd="0"/></p',
    )
    described = [macro]
    for (x, y), pixels in regions.items():
        height, width = pixels.shape[:2]
        small = pixels.reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3)).round()
        ifd = len(directories)
        described.append(scn_image(x, y, width, height, (ifd, ifd + 1)))
        directories += [pixels, small.astype(np.uint8)]
    namespace = "http://www.leica-microsystems.com/scn/2010/10/01"
    size = f'sizeX="{3000 * NM}" sizeY="{2000 * NM}"'
    xml = f'<scn xmlns="{namespace}"><collection {size}>{"".join(described)}</collection></scn>'
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for i, pixels in enumerate(directories):
            options = {"compression": "deflate", "metadata": None, "photometric": "rgb"}
            tiff.write(pixels, description=None if i else xml, tile=(128, 128), **options)
    return path


@pytest.mark.parametrize("downsample", [1, 3.7, 4, 10])
def test_unscanned_areas_are_white_inside_and_cropped_outside(tmp_path, tissue, downsample):
    """The slide is transparent between two regions and empty around them."""
    regions = {(1200, 640): tissue[640:1408, 700:1212], (1968, 1024): tissue[1024:1536, 700:956]}
    expected = np.full((896, 1024, 3), 255, np.uint8)
    expected[:768, :512], expected[384:, 768:] = regions.values()
    path = write_scn(tmp_path / "a.scn", regions)
    result = preprocess_slide(path, downsample, (1200, 1000))
    assert (result.provenance["vendor"], result.provenance["slide_width"]) == ("leica", 3000)
    assert result.provenance["level"] == int(downsample >= 4)
    factor = downsample
    if downsample >= 4:
        expected, factor = expected.reshape(224, 4, 256, 4, 3).mean((1, 3)).round(), factor / 4
    assert np.abs(content(result) - brute_force(expected, factor, factor)).max() <= 1


@pytest.mark.parametrize("factor", [1, 2.5])
def test_pixels_that_are_partly_transparent_are_mixed_with_white(tmp_path, tissue, factor):
    pixels = tissue[1500:1800, 1000:1400]
    alpha = np.broadcast_to(np.linspace(0, 255, 400).astype(np.uint8)[:, None], (300, 400, 1))
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "deflate"}
    tifffile.imwrite(path, np.concatenate([pixels, alpha], -1), tile=(128, 128), **options)
    expected = pixels * (alpha / 255) + (255.0 - alpha)
    result = preprocess_slide(path, factor, (400, 300))
    # OpenSlide stores colors times alpha in 8 bits.
    assert np.abs(content(result) - brute_force(expected, factor, factor)).max() <= 1.51


def test_colors_are_converted_from_the_slides_profile_on_request(tmp_path, tissue, write_tiff):
    # sRGB with red and blue exchanged: a profile with an obvious effect.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1)
    exchanged = exchanged.replace(b"????", b"bXYZ", 1)
    pixels = tissue[800:1200, 700:1200]
    path = write_tiff(tmp_path / "a.tif", [pixels], iccprofile=exchanged)
    plain, converted = (preprocess_slide(path, 7, (90, 70), icc=icc) for icc in (False, True))
    assert np.abs(content(plain) - brute_force(pixels, 7, 7)).max() <= 0.51
    difference = content(converted).astype(int) - content(plain)[..., ::-1]
    assert np.abs(difference).max() <= 2
    assert (converted.image[0] == 255).all()
    assert plain.provenance["icc"] is None and "sRGB" in converted.provenance["icc"]
    assert "profile" not in converted.provenance["notes"]
    without = write_tiff(tmp_path / "b.tif", [pixels])
    kept = preprocess_slide(without, 7, (90, 70), icc=True)
    np.testing.assert_array_equal(kept.image, plain.image)
    assert kept.provenance["icc"] is None
    assert "it has no ICC profile" in kept.provenance["notes"]


def test_a_saved_image_has_its_provenance_and_a_truncated_one_is_recognized(tmp_path, svs):
    result = preprocess_slide(svs, 16, (150, 200))
    path = tmp_path / "a.png"
    result.save(path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), result.image)
    stored = read_provenance(path)
    assert stored == json.loads(json.dumps(result.provenance))
    with openslide.OpenSlide(svs) as slide:
        quickhash = slide.properties["openslide.quickhash-1"]
    assert stored["content"] == f"quickhash:{quickhash}:{svs.stat().st_size}"
    assert stored["hash"] is None
    data = path.read_bytes()
    for length in (0, 8, 33, 60, len(data) // 2, len(data) - 12, len(data) - 1):
        path.write_bytes(data[:length])
        assert read_provenance(path) is None
    path.write_bytes(data[: len(data) // 2] + b"\0\0\0\0" + data[len(data) // 2 + 4 :])
    assert read_provenance(path) is None
    assert read_provenance(tmp_path / "nothing.png") is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_an_image_of_another_program_is_refused(tmp_path):
    Image.new("RGB", (300, 300), "red").save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="not made by this command"):
        read_provenance(Path(tmp_path / "a.png"))
