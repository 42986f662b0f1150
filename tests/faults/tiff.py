"""Small slides of real tissue, and the many ways to break a TIFF file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import Image

SVS = Path(__file__).parents[1] / "fixtures" / "slides" / "CMU-1-Small-Region.svs"
# A flip in these tags gives another valid slide, so it cannot be detected.
UNNOTICED = ("ImageWidth", "ImageLength", "PhotometricInterpretation")


@dataclass(frozen=True)
class Good:
    """A valid slide: its name, its bytes, and the downsample at which it is read."""

    name: str
    data: bytes
    downsample: int


def tissue(left: int, top: int, width: int, height: int) -> np.ndarray:
    """Return pixels of the fixture slide."""
    with openslide.OpenSlide(SVS) as slide:
        return np.asarray(slide.read_region((left, top), 0, (width, height)))[..., :3].copy()


def good_slides() -> list[Good]:
    """Return slides with JPEG tiles, a deflated BigTIFF pyramid and raw pixels, and the fixture."""
    pixels = tissue(700, 900, 448, 380)
    # Averaged, so that a lost level does not change the image.
    half = np.asarray(Image.fromarray(pixels).reduce(2))
    tiles = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
    slides = [
        Good("jpeg.tif", _written([pixels], compression="jpeg", **tiles), 4),
        Good(
            "pyramid.tif",
            _written([pixels, half], True, compression="deflate", **tiles),
            2,
        ),
        Good("bare.tif", _written([pixels], **tiles), 4),
    ]
    return [*slides, Good("aperio.svs", SVS.read_bytes(), 16)]


def _written(levels: list[np.ndarray], big: bool = False, **options) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big) as tiff:
        for i, level in enumerate(levels):
            tiff.write(level, subfiletype=int(i > 0), **options)
    return file.getvalue()


def cuts(good: Good) -> Iterator[tuple[str, bytes]]:
    """Yield the file cut at every boundary of its structure, and between the boundaries."""
    with tifffile.TiffFile(io.BytesIO(good.data)) as tiff:
        places = {"inside the header": 2, "after the header": 16 if tiff.is_bigtiff else 8}
        for i, page in enumerate(tiff.pages):
            for tag in page.tags:
                places[f"in the entry of {tag.name} of directory {i}"] = tag.offset + 3
                size = int(tag.valuebytecount)
                if size > 8:
                    places[f"in the values of {tag.name} of directory {i}"] = (
                        tag.valueoffset + size // 2
                    )
            places[f"before directory {i}"] = page.offset
            places[f"after the count of directory {i}"] = page.offset + 2
            last = max(page.tags, key=lambda tag: tag.offset)
            places[f"after the entries of directory {i}"] = last.offset + 12
            lengths = page.databytecounts[:16]
            for k, (at, length) in enumerate(zip(page.dataoffsets, lengths, strict=False)):
                places[f"before tile {k} of directory {i}"] = at
                places[f"in tile {k} of directory {i}"] = at + length // 2
    places["before the last byte"] = len(good.data) - 1
    for name, at in places.items():
        if 0 < at < len(good.data):
            yield name, good.data[:at]


def flips(good: Good, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield endless files with one flipped bit in the header, in a directory, or in a tile."""
    with tifffile.TiffFile(io.BytesIO(good.data)) as tiff:
        entry = 20 if tiff.is_bigtiff else 12
        header = list(range(16 if tiff.is_bigtiff else 8))
        directories, tiles = [], []
        for page in tiff.pages:
            for tag in page.tags:
                # Number, type and count of the tag, and its value if a change can be detected.
                end = tag.offset + (entry if tag.name not in UNNOTICED else entry // 2)
                directories += range(tag.offset, end)
        page = tiff.pages[0]
        for at, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiles += range(at, at + length)
    places = {"header": header, "directory": directories}
    # JPEG has no checksum, so a whole tile may be wrong: that is much of a small slide.
    if good.name != "jpeg.tif":
        places["tile"] = tiles
    while True:
        for name, positions in places.items():
            at, bit = int(random.choice(positions)), int(random.integers(8))
            data = bytearray(good.data)
            data[at] ^= 1 << bit
            yield f"bit {bit} of byte {at}, in a {name}", bytes(data)


def wrong_tags(good: Good) -> Iterator[tuple[str, bytes]]:
    """Yield files with wrong directories."""
    end = len(good.data)
    with tifffile.TiffFile(io.BytesIO(good.data)) as tiff:
        page = tiff.pages[0]
        count, offsets = len(page.dataoffsets), list(page.dataoffsets)
        lengths = list(page.databytecounts)
    long = 16 if good.name == "pyramid.tif" else 4
    for name in ("ImageWidth", "ImageLength"):
        for value in (0, 1, 100_000, 2**31 - 1, 2**32 - 1):
            yield f"{name} {value}", _overwritten(good, name, value, 4)
    for name in ("TileWidth", "TileLength"):
        for value in (0, 1, 7, 129, 64, 4096, 65_520, 2**31):
            yield f"{name} {value}", _overwritten(good, name, value, 4)
    for value in (0, 2, 5, 6, 8 if "jpeg" in good.name else 7, 33_003, 34_712, 65_535):
        yield f"Compression {value}", _overwritten(good, "Compression", value, 3)
    for value in (0, 1, 2, 5, 300):
        yield f"SamplesPerPixel {value}", _overwritten(good, "SamplesPerPixel", value, 3)
    for value in (3, 5, 9, 32_803):
        name = "PhotometricInterpretation"
        yield f"{name} {value}", _overwritten(good, name, value, 3)
    for value in (0, 1, 16, 255):
        yield f"BitsPerSample {value}", _overwritten(good, "BitsPerSample", (value,) * 3, 3)
    broken = {
        "beyond the end": [end + 1000] * count,
        "the last beyond the end": [*offsets[:-1], end],
        "in the header": [0] * count,
        "one too few": offsets[:-1],
        "ten too many": offsets + offsets[:10],
        "only one": offsets[:1],
    }
    for name, value in broken.items():
        yield f"TileOffsets {name}", _overwritten(good, "TileOffsets", value, long)
    for name, value in {
        "0": [0] * count,
        "too big": [10 * end] * count,
        "2^32 - 1": [2**32 - 1] * count,
        "3": [3] * count,
        "halved": [n // 2 for n in lengths],
    }.items():
        yield f"TileByteCounts {name}", _overwritten(good, "TileByteCounts", value, long)
    yield "a directory that is its own next", _looped(good)


def _overwritten(good: Good, name: str, value, kind: int) -> bytes:
    file = io.BytesIO(good.data)
    with tifffile.TiffFile(file) as tiff:
        tag = tiff.pages[0].tags[name]
        tag.overwrite(value, dtype=kind, erase=False)
        return file.getvalue()


def _looped(good: Good) -> bytes:
    data = bytearray(good.data)
    with tifffile.TiffFile(io.BytesIO(good.data)) as tiff:
        page, size = tiff.pages[len(tiff.pages) - 1], 8 if tiff.is_bigtiff else 4
        last = max(page.tags, key=lambda tag: tag.offset)
        after = last.offset + (20 if tiff.is_bigtiff else 12)
    data[after : after + size] = page.offset.to_bytes(size, "little")
    return bytes(data)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield small files that would become huge."""
    jpeg = _jpeg_bomb(12_000)
    good = io.BytesIO()
    Image.fromarray(tissue(700, 900, 256, 256)).save(good, "jpeg")
    tiles = [good.getvalue()] * 4
    options = {"shape": (512, 512, 3), "dtype": "uint8", "tile": (256, 256)}
    options |= {"photometric": "ycbcr", "compression": "jpeg", "metadata": None}
    yield "JPEG tiles of 12000x12000", _of_tiles([jpeg] * 4, **options)
    yield "one JPEG tile of 12000x12000", _of_tiles([*tiles[:3], jpeg], **options)
    yield (
        "one JPEG tile that claims 65500x65500",
        _of_tiles([*tiles[:3], _claiming(jpeg)], **options),
    )
    options |= {"photometric": "rgb", "compression": "deflate"}
    yield "tiles that inflate to 64 MB", _of_tiles([zlib.compress(bytes(2**26))] * 4, **options)
    side = 9216
    one = zlib.compress(np.random.default_rng(0).bytes(2**10) * (3 * side * side // 2**10), 1)
    options |= {"shape": (side, side, 3), "tile": (side, side)}
    yield f"one tile of {side}x{side}", _of_tiles([one], **options)
    for side in (30_000, 200_000, 2**31 - 1):
        for slide in good_slides()[:3]:
            wide = _overwritten(slide, "ImageWidth", side, 4)
            both = _overwritten(Good(slide.name, wide, 1), "ImageLength", side, 4)
            yield f"{slide.name} that claims {side}x{side}", both
    options |= {"shape": (200_000, 200_000, 3), "tile": (4096, 4096)}
    yield "200000x200000 without any tile", _of_tiles([b""] * 49**2, **options)


def _of_tiles(tiles: list[bytes], **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, iter(tiles), **options)
    return file.getvalue()


def _jpeg_bomb(side: int) -> bytes:
    """Return a progressive JPEG of one color, of a few hundred kilobytes."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 100, 150)).save(file, "jpeg", progressive=True)
    return file.getvalue()


def _claiming(jpeg: bytes) -> bytes:
    """Return a JPEG with another size in its header."""
    at = jpeg.index(b"\xff\xc2") + 5
    return jpeg[:at] + (65_500).to_bytes(2, "big") * 2 + jpeg[at + 4 :]
