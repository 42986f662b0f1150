"""Contact sheets: all images of a folder at a glance, and failures with their reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, ImageOps

from resbuilder.common.files import atomically

TILE = (220, 176)
CAPTION = 30
GAP = 6
COLUMNS, ROWS = 8, 10


def write_contact_sheets(rows: Sequence[dict], out: Path, threads: int = 1) -> list[Path]:
    """Write JPEG pages ``contact_sheet_1.jpg``, ... with 80 images each.

    Args:
        rows: Rows of the manifest: ``slide``, ``output`` (below ``out``), ``reason``.
        out: Folder with the images, in which the pages are written. Surplus pages of an earlier
            call are removed.
        threads: Images read at the same time.

    Returns:
        The pages' paths.
    """
    pages: list[Path] = []
    # Pillow's own font lacks common letters such as ü.
    font = ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 11)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(rows), COLUMNS * ROWS):
            on_page = rows[first : first + COLUMNS * ROWS]
            page = _page(list(pool.map(lambda row: _tile(row, out, font), on_page)))
            pages.append(out / f"contact_sheet_{len(pages) + 1}.jpg")
            with atomically(pages[-1]) as part:
                page.save(part, quality=88)
    for old in out.glob("contact_sheet_*.jpg"):
        if old not in pages and old.stem.removeprefix("contact_sheet_").isdecimal():
            old.unlink()
    return pages


def _page(tiles: list[Image.Image]) -> Image.Image:
    across = min(COLUMNS, len(tiles))
    down = -(-len(tiles) // across)
    width, height = TILE[0] + GAP, TILE[1] + CAPTION + GAP
    page = Image.new("RGB", (across * width + GAP, down * height + GAP), (110, 110, 110))
    for i, tile in enumerate(tiles):
        page.paste(tile, (GAP + i % across * width, GAP + i // across * height))
    return page


def _tile(row: dict, out: Path, font: ImageFont.FreeTypeFont) -> Image.Image:
    failed = not row["output"]
    tile = Image.new("RGB", (TILE[0], TILE[1] + CAPTION), (150, 40, 40) if failed else "white")
    draw = ImageDraw.Draw(tile)
    if failed:
        draw.multiline_text((6, 6), _wrapped(row["reason"], 32, 11), "white", font)
    else:
        with Image.open(out / row["output"]) as image:
            small = ImageOps.contain(image, TILE, Image.Resampling.BOX)
        left, top = ((n - m) // 2 for n, m in zip(TILE, small.size, strict=True))
        tile.paste(small, (left, top))
        # The canvas is white on white: the outline shows its size.
        corner = left + small.width - 1, top + small.height - 1
        draw.rectangle((left, top, *corner), outline=(190, 190, 190))
    draw.line((0, TILE[1], TILE[0], TILE[1]), (110, 110, 110))
    name = _wrapped(row["slide"], 32, 2)
    draw.multiline_text((4, TILE[1] + 2), name, "white" if failed else "black", font)
    return tile


def _wrapped(text: str, width: int, lines: int) -> str:
    # File names need not be valid UTF-8.
    text = text.encode("utf-8", "replace").decode()
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))
