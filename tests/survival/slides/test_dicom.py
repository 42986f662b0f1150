"""DICOM slides: several files form one slide that OpenSlide reads."""

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from survival.slides import preprocess_slide
from survival.slides.batch import preprocess_slides
from survival.slides.dicom import series_of
from survival.slides.listing import list_jobs
from survival.slides.settings import Settings

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG, PLAIN = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1"
TILE, MPP = 256, 0.499


def element(tag, kind, value):
    """Return an element with its value: text, a whole number, or bytes."""
    if isinstance(value, int):
        value = value.to_bytes({"US": 2, "UL": 4}[kind], "little")
    if isinstance(value, str):
        value = value.encode()
    value += (b"\0" if kind in ("UI", "OB") else b" ") * (len(value) % 2)
    if kind in ("SQ", "OB"):
        # Sequences and encapsulated pixels have an undefined length and end at a delimiter.
        size = struct.pack("<HI", 0, 0xFFFFFFFF)
    else:
        size = struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode() + size + value


def item(value, number=0xE000):
    return struct.pack("<HHI", 0xFFFE, number, len(value)) + value


END = item(b"", 0xE0DD)


def sequence(tag, value):
    return element(tag, "SQ", item(value) + END)


def dicom(elements, syntax=PLAIN):
    meta = element(0x00020002, "UI", WHOLE_SLIDE) + element(0x00020003, "UI", "1.2")
    meta += element(0x00020010, "UI", syntax)
    head = bytes(128) + b"DICM" + element(0x00020000, "UL", len(meta))
    return head + meta + b"".join(elements)


def header(series):
    """Return a DICOM file without an image that refers to another series before its own."""
    other = element(0x0020000E, "UI", "9.9.9") + item(b"", 0xE00D)
    referred = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + other + END
    return dicom(
        [
            element(0x00081115, "SQ", referred),
            element(0x0020000D, "UI", "1.2.3"),
            element(0x0020000E, "UI", series),
            element(0x00280010, "US", 1),
        ]
    )


def level(pixels, number, factor):
    """Return a level of a slide: JPEG tiles, row by row."""
    height, width = pixels.shape[:2]
    frames = []
    for y, x in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        file, tile = io.BytesIO(), np.full((TILE, TILE, 3), 255, np.uint8)
        part = pixels[y : y + TILE, x : x + TILE]
        tile[: part.shape[0], : part.shape[1]] = part
        Image.fromarray(tile).save(file, "jpeg", quality=95)
        frames.append(file.getvalue() + b"\0" * (file.tell() % 2))
    made = ("ORIGINAL", "NONE") if factor == 1 else ("DERIVED", "RESAMPLED")
    spacing = element(0x00280030, "DS", f"{MPP * factor / 1000}\\{MPP * factor / 1000}")
    tags = [
        element(0x00080008, "CS", "\\".join([made[0], "PRIMARY", "VOLUME", made[1]])),
        element(0x00080016, "UI", WHOLE_SLIDE),
        element(0x00080018, "UI", f"1.2.{number}"),
        element(0x00080060, "CS", "SM"),
        element(0x0020000D, "UI", "1.2.3"),
        element(0x0020000E, "UI", "1.2.4"),
        element(0x00200052, "UI", "1.2.5"),
        element(0x00209311, "CS", "TILED_FULL"),
        element(0x00280002, "US", 3),
        element(0x00280004, "CS", "YBR_FULL_422"),
        element(0x00280006, "US", 0),
        element(0x00280008, "IS", str(len(frames))),
        element(0x00280010, "US", TILE),
        element(0x00280011, "US", TILE),
        element(0x00280100, "US", 8),
        element(0x00280101, "US", 8),
        element(0x00280102, "US", 7),
        element(0x00280103, "US", 0),
        element(0x00480006, "UL", width),
        element(0x00480007, "UL", height),
        sequence(0x52009229, sequence(0x00289110, spacing)),
        element(0x7FE00010, "OB", item(b"") + b"".join(map(item, frames)) + END),
    ]
    return dicom(tags, JPEG)


def test_the_files_of_a_dicom_series_are_one_slide(tmp_path):
    for name, series in (("a/2", "1.5"), ("a/1", "1.5"), ("a/3", "1.6"), ("b/1", "1.5")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.dcm").write_bytes(header(series))
    (tmp_path / "b" / "no.dcm").write_bytes(b"not DICOM")
    assert series_of(tmp_path / "a" / "1.dcm") == "1.5"
    assert series_of(tmp_path / "b" / "no.dcm") is None
    jobs = list_jobs([tmp_path], Settings())
    assert [job.slide for job in jobs] == ["a/1.dcm", "a/3.dcm", "b/1.dcm", "b/no.dcm"]
    files = [tmp_path / "a" / f"{i}.dcm" for i in (1, 2, 3)]
    assert [job.slide for job in list_jobs(files, Settings())] == ["1.dcm", "3.dcm"]


def test_a_dicom_slide_gives_the_image_of_its_original(tmp_path, svs, tissue):
    folder = tmp_path / "slide"
    folder.mkdir()
    quarter = np.asarray(Image.fromarray(tissue).reduce(4))
    for number, (pixels, factor) in enumerate(((tissue, 1), (quarter, 4))):
        (folder / f"{number}.dcm").write_bytes(level(pixels, number, factor))
    (row,) = preprocess_slides(folder, tmp_path / "out", 16, (200, 200))
    assert (row["status"], row["vendor"], row["level"]) == ("ok", "dicom", 1), row["reason"]
    assert float(row["output_mpp_x"]) == pytest.approx(16 * MPP)
    image = np.asarray(Image.open(tmp_path / "out" / row["output"])).astype(int)
    original = preprocess_slide(svs, 16, (200, 200)).image
    assert np.abs(image - original).mean() < 1
