"""Image files of every kind become arrays: upright, in 8 bits, with a note of the conversions."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from resbuilder.datasets import ImageReading, read_image
from resbuilder.datasets.reading import (
    FIRST,
    FORMATS,
    ON_WHITE,
    PALETTE,
    PRINT,
    REDUCED,
    TURNED,
    is_picture,
    read_header,
    read_picture,
)

READING = ImageReading(40, 60)


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    """A temple, 640 × 427 pixels."""
    return Image.fromarray(load_sample_images().images[0])


@pytest.fixture
def expected(photograph):
    return np.asarray(photograph.resize((60, 40), Image.Resampling.BILINEAR)).astype(int)


def logo(mode: str) -> Image.Image:
    """A black square on a transparent background that is black, too."""
    image = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (20, 10, 40, 30))
    return image.convert(mode)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """An RGB PNG with 16 bits per channel, which Pillow can read but not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, _ = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.jfif", "a.avif", "a.webp", "a.tif", "a.bmp"])
def test_all_formats_give_the_same_image(photograph, expected, tmp_path, name):
    suffix = name.rpartition(".")[2].lower()
    kind = {"jpg": "jpeg", "jfif": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    photograph.save(tmp_path / name, kind, quality=95)
    pixels, conversions = read_picture(tmp_path / name, READING)
    assert pixels.shape == (40, 60, 3) and conversions == ()
    assert np.abs(pixels - expected).mean() < 2
    bare = (tmp_path / name).rename(tmp_path / "no_suffix")
    assert is_picture(bare) and np.array_equal(read_image(bare, READING), pixels)


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp", "avif"])
def test_an_image_of_a_camera_held_sideways_is_upright(photograph, expected, tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate clockwise to see it upright.
    photograph.rotate(90, expand=True).save(tmp_path / "a", kind, exif=exif, quality=95)
    pixels, conversions = read_picture(tmp_path / "a", READING)
    assert read_header(tmp_path / "a").size == (427, 640)
    assert conversions == (TURNED,) and np.abs(pixels - expected).mean() < 2


@pytest.mark.parametrize(
    ("name", "mode", "conversions"),
    [
        ("a.png", "RGBA", (ON_WHITE,)),
        ("a.png", "LA", (ON_WHITE,)),
        ("a.webp", "RGBA", (ON_WHITE,)),
        ("a.tif", "RGBA", (ON_WHITE,)),
        ("a.gif", "RGBA", (PALETTE, ON_WHITE)),
    ],
)
def test_transparent_images_are_placed_on_white(tmp_path, name, mode, conversions):
    """A black logo would otherwise become a black image."""
    logo(mode).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    pixels, noted = read_picture(tmp_path / name, READING)
    black = np.zeros((40, 60), bool)
    black[10:30, 20:40] = True
    assert (pixels[black] == 0).all() and (pixels[~black] == 255).all()
    assert noted == conversions


def test_an_image_with_a_transparent_color_is_placed_on_white_too(tmp_path):
    logo("L").save(tmp_path / "a.png", transparency=0)
    reading = ImageReading(40, 60, mode="L")
    assert read_picture(tmp_path / "a.png", reading).conversions == (ON_WHITE,)
    assert (read_image(tmp_path / "a.png", reading) == 255).all()


def test_an_opaque_alpha_channel_is_not_a_conversion(photograph, tmp_path):
    photograph.convert("RGBA").save(tmp_path / "a.png")
    photograph.save(tmp_path / "b.png")
    pixels, noted = read_picture(tmp_path / "a.png", READING)
    assert noted == () and np.array_equal(pixels, read_image(tmp_path / "b.png", READING))


def test_palettes_cmyk_and_frames_are_converted_and_noted(photograph, expected, tmp_path):
    palette = photograph.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png")
    photograph.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    photograph.save(tmp_path / "pages.tif", save_all=True, append_images=[photograph.rotate(180)])
    palette.save(tmp_path / "frames.gif", save_all=True, append_images=[palette.rotate(180)])
    for name, noted in (
        ("palette.png", (PALETTE,)),
        ("print.jpg", (PRINT,)),
        ("pages.tif", (FIRST,)),
        ("frames.gif", (FIRST, PALETTE)),
    ):
        pixels, conversions = read_picture(tmp_path / name, READING)
        assert conversions == noted and np.abs(pixels - expected).mean() < 6, name


def test_16_bits_become_8_unless_that_would_lose_most_levels(photograph, tmp_path):
    small = photograph.resize((60, 40))
    gray, rgb = np.asarray(small.convert("L")), np.asarray(small)
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "gray.png")
    (tmp_path / "rgb.png").write_bytes(png_of_16_bits(rgb.astype(np.uint16) * 257))
    for name, mode, right in (("gray.png", "L", gray[..., None]), ("rgb.png", "RGB", rgb)):
        pixels, noted = read_picture(tmp_path / name, ImageReading(40, 60, mode=mode))
        assert noted == (REDUCED,) and np.array_equal(pixels, right)
    Image.fromarray(gray.astype(np.uint16) * 16).save(tmp_path / "gray.png")  # A 12-bit camera.
    (tmp_path / "rgb.png").write_bytes(png_of_16_bits(rgb.astype(np.uint16)))
    for name in ("gray.png", "rgb.png"):
        with pytest.raises(ValueError, match=f"{name} cannot be read .*upper ones are unused"):
            read_image(tmp_path / name, READING)
    for mode, kind in (("F", "float"), ("I", "int32")):
        photograph.convert(mode).save(tmp_path / "a.tif")
        with pytest.raises(ValueError, match=rf"a.tif cannot be read .*have type {kind}"):
            read_image(tmp_path / "a.tif", READING)


def test_gray_images_of_16_bits_keep_their_transparent_color_and_may_be_black(tmp_path):
    levels = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000
    reading, file = ImageReading(4, 4, mode="L"), tmp_path / "gray.png"
    Image.fromarray(levels).save(file, transparency=8000)
    found = read_picture(file, reading)
    assert found.pixels[0, 2, 0] == 255 and found.pixels[0, 1, 0] == round(4000 / 257)
    assert set(found.conversions) == {ON_WHITE, REDUCED}
    Image.fromarray(levels // 16).save(file, transparency=500)
    with pytest.raises(ValueError, match="upper ones are unused"):
        read_image(file, reading)
    Image.fromarray(0 * levels).save(file)
    assert not read_image(file, reading).any()


def tiff(levels: np.ndarray, photometric: int) -> bytes:
    """A gray TIFF whose level 0 is white (photometric 0) or black (photometric 1)."""
    (height, width), data, short, long = levels.shape, levels.tobytes(), 3, 4
    tags = {256: (long, width), 257: (long, height), 258: (short, 8 * levels.itemsize),
            259: (short, 1), 262: (short, photometric), 273: (long, 8), 277: (short, 1),
            278: (long, height), 279: (long, len(data))}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, (kind, n) in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("photometric", [0, 1])
def test_a_gray_tiff_looks_the_same_in_8_and_in_16_bits(tmp_path, photometric):
    levels = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)
    shown = levels if photometric else 255 - levels
    reading = ImageReading(6, 8, mode="L")
    for name, stored in (("8.tif", levels), ("16.tif", levels.astype("<u2") * 257)):
        (tmp_path / name).write_bytes(tiff(stored, photometric))
        np.testing.assert_array_equal(read_image(tmp_path / name, reading)[..., 0], shown, name)
    (tmp_path / "16.tif").write_bytes(tiff(levels.astype("<u2") * 16, photometric))
    with pytest.raises(ValueError, match=r"upper ones are unused: .* only 16 of 256 levels"):
        read_image(tmp_path / "16.tif", reading)
    (tmp_path / "16.tif").write_bytes(tiff(0 * levels.astype("<u2"), photometric))
    assert (read_image(tmp_path / "16.tif", reading) == (0 if photometric else 255)).all()


@pytest.mark.parametrize(("kind", "channels"), [("P5", 1), ("P6", 3)])
def test_a_ppm_or_pgm_of_16_bits_is_read(tmp_path, kind, channels):
    levels = np.arange(16 * channels).reshape(4, 4, channels) * 1300
    file = tmp_path / "image.ppm"
    file.write_bytes(f"{kind}\n4 4\n65535\n".encode() + levels.astype(">u2").tobytes())
    found = read_picture(file, ImageReading(4, 4, mode="L" if channels == 1 else "RGB"))
    np.testing.assert_allclose(found.pixels, levels / 257, atol=1)
    assert found.conversions == (REDUCED,)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_damaged_exif_data_name_the_file(tmp_path, ending):
    file = tmp_path / f"cut.{ending}"
    Image.new("RGB", (8, 8)).save(file, exif=b"Exif\0\0II*\0")
    with pytest.raises(ValueError, match=f"cut.{ending} cannot be read"):
        read_image(file, READING)


def test_an_orientation_that_makes_no_sense_is_upright(photograph, expected, tmp_path):
    # One entry: the orientation as a text of nine bytes, which follows at byte 26.
    entry = struct.pack("<HHII", 0x0112, 2, 9, 26)
    head = b"II*\0" + struct.pack("<IH", 8, 1)
    exif = b"Exif\0\0" + head + entry + struct.pack("<I", 0) + b"sideways\0"
    photograph.save(tmp_path / "odd.png", exif=exif)
    assert np.abs(read_image(tmp_path / "odd.png", READING) - expected).max() <= 1


def test_fit_stretches_crops_or_pads_an_image(tmp_path):
    """The left third is red, then green, and the right third blue; 90 × 30 pixels."""
    bands = np.zeros((30, 90, 3), np.uint8)
    for channel in range(3):
        bands[:, 30 * channel : 30 * (channel + 1), channel] = 255
    Image.fromarray(bands).save(tmp_path / "a.png")
    stretched, cropped, framed = (
        read_image(tmp_path / "a.png", ImageReading(30, 30, fit=fit))
        for fit in ("stretch", "crop", "letterbox")
    )
    assert stretched[15, 2].tolist() == [255, 0, 0] and stretched[15, 27].tolist() == [0, 0, 255]
    assert (cropped == (0, 255, 0)).all()
    assert (framed[:9] == 0).all() and (framed[21:] == 0).all()
    assert framed[15, 2].tolist() == [255, 0, 0] and framed[15, 27].tolist() == [0, 0, 255]


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_a_large_jpeg_is_decoded_at_reduced_size(photograph, tmp_path, fit, monkeypatch):
    photograph.resize((4000, 2670)).save(tmp_path / "a.jpg", quality=95)
    photograph.resize((4000, 2670)).save(tmp_path / "a.bmp")
    decoded = []
    convert = Image.Image.convert
    monkeypatch.setattr(
        Image.Image,
        "convert",
        lambda image, *a, **k: decoded.append(image.size) or convert(image, *a, **k),
    )
    small = read_image(tmp_path / "a.jpg", ImageReading(64, 48, fit=fit))
    (size,) = set(decoded)
    assert size == (500, 334)
    whole = read_image(tmp_path / "a.bmp", ImageReading(64, 48, fit=fit))
    assert np.abs(small.astype(int) - whole).mean() < 2


def test_a_file_for_which_pillow_would_start_a_program_is_refused(photograph, tmp_path):
    """Pillow reads EPS through Ghostscript, whatever the name of the file."""
    photograph.save(tmp_path / "a.eps")
    renamed = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    assert "EPS" not in FORMATS and not is_picture(renamed)
    with pytest.raises(ValueError, match="a.png cannot be read .not an image"):
        read_image(renamed, READING)


def test_a_reading_survives_json_and_refuses_invalid_values():
    reading = ImageReading(40, 60, "letterbox", "L", 90)
    assert ImageReading.from_json(reading.to_json()) == reading
    assert reading.size == (40, 60) and reading.input_shape == (40, 60, 2)
    for wrong, message in (
        ({"height": 0}, "height and width must be positive"),
        ({"width": 2.5}, "height and width must be positive"),
        ({"fit": "tile"}, "fit must be one of"),
        ({"mode": "CMYK"}, "mode must be"),
        ({"ela_quality": 200}, "a JPEG quality must be"),
        ({"color": 1}, "a reading must have ela_quality, fit"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageReading.from_json(reading.to_json() | wrong)
    with pytest.raises(ValueError, match="a reading must have ela_quality, fit"):
        ImageReading.from_json([1])
