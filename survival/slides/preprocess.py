"""One slide: from its file to an image with its provenance."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import openslide
from PIL import Image, ImageCms, PngImagePlugin

from resbuilder.common.files import atomically
from survival.names import NOTES
from survival.slides.canvas import notes_on, on_canvas, refuse_background, to_srgb
from survival.slides.geometry import Plan, make_plan, microns_per_pixel, resolution_notes
from survival.slides.identity import FileHash, TilesHash, content_of, quickhash
from survival.slides.jpeg_tiles import read_jpeg_tiles
from survival.slides.reading import open_slide, read_over_white
from survival.slides.settings import CANVAS, Settings
from survival.slides.tiff import refuse_contradictions

# The first bytes of the chunk with the notes on the image, and their offset: after signature,
# header and the length of the chunk.
_MARK, _MARK_AT = f"tEXt{NOTES}\0".encode(), 8 + 25 + 4


@dataclass(frozen=True)
class SlideImage:
    """The image of a slide.

    Args:
        image: uint8 array (canvas height, canvas width, 3).
        provenance: How the image was made, as listed at :func:`preprocess_slide`.
    """

    image: np.ndarray
    provenance: dict

    def save(self, path: str | Path) -> None:
        """Write a PNG with the provenance atomically."""
        notes = PngImagePlugin.PngInfo()
        notes.add_text(NOTES, json.dumps(self.provenance))
        with atomically(Path(path)) as part:
            # Run-length encoding: for such images faster than zlib's default, with no larger files.
            Image.fromarray(self.image).save(
                part, "png", pnginfo=notes, compress_level=1, compress_type=zlib.Z_RLE
            )


def preprocess_slide(
    slide: str | Path,
    downsample: float | None = None,
    canvas: tuple[int, int] = CANVAS,
    *,
    mpp: float | None = None,
    fit: bool = False,
    icc: bool = False,
    slide_mpp: float | None = None,
    exact: bool = False,
    hash: bool = False,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SlideImage:
    """Convert a whole-slide image to the input image of a network, in bounded memory.

    The coarsest level that is at least as fine as the desired resolution is read. It is averaged
    over areas by the remaining factor, composited over white, and centered on a white canvas. A
    level within 1 % of the desired resolution is used without averaging.

    Args:
        slide: A file of any format that OpenSlide reads.
        downsample: Level-0 pixels per image pixel, along each axis; 64 unless ``mpp`` is given.
        canvas: Width and height of the image in pixels.
        mpp: Micrometres per image pixel, instead of ``downsample``.
        fit: Whether a slide that is larger than the canvas is reduced further instead of refused.
        icc: Whether colors are converted from the slide's ICC profile to sRGB, after averaging. A
            slide without a profile keeps its colors, and a note says so.
        slide_mpp: Micrometres per level-0 pixel, for a slide that does not state it. A stated
            resolution coarser than 10 is ignored, because tags of 72 dpi are a software default.
        exact: Whether all JPEG tiles are decoded at full size. Otherwise, tiles of which many
            pixels are averaged are decoded at a smaller size, which changes the image by at most
            one gray level.
        hash: Whether to hash the slide's whole file, in a separate thread.
        threads: Pieces of the slide decoded at the same time, about 30 MB each.
        progress: Called while reading, with the number of finished pieces and the total.

    Returns:
        The image and its provenance, a dict with these keys:

        - ``vendor``; ``slide_width``, ``slide_height``: size of level 0 in pixels;
        - ``level``: the level that was read; ``level_factor``, ``total_factor``: level-0 pixels
          per pixel of that level and per image pixel; ``fit_factor``: the factor in the latter
          that made the image fit; ``filter``: none, area, or "area, scaled decoding";
        - ``output_mpp_x``, ``output_mpp_y``: micrometres per image pixel, None if unknown;
        - ``icc``: the profile from which colors were converted;
        - ``width``, ``height``, ``left``, ``top``: the slide's part of the canvas;
        - ``content``: a text equal for copies of a slide (:func:`.identity.content_of`);
          ``hash``: of the whole file, None without ``hash``;
        - ``bytes``, ``modified``: size and time of the slide's file;
        - ``notes``: what a person should check;
        - ``openslide``: version of OpenSlide; ``settings``.

    Raises:
        SlideError: A ValueError. The slide is damaged, does not fit the canvas, lacks what the
            settings need, or shows nothing but background.
        ValueError: The settings are invalid.
        OSError: The file does not exist or may not be read.

    Example:
        >>> slide = preprocess_slide("case.svs", downsample=64, canvas=(250, 200))
        >>> slide.image.shape
        (200, 250, 3)
        >>> slide.save("case.png")
    """
    settings = Settings(downsample, mpp, canvas, fit, icc, slide_mpp, exact)
    progress = progress or (lambda done, total: None)
    path = Path(slide)
    # Taken before reading: a file that is still being written will have another state later.
    state = file_state(path)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_slide(path))
        refuse_contradictions(path, opened)
        plan = make_plan(opened, settings)
        profile = opened.color_profile if icc else None
        whole = stack.enter_context(FileHash(path)) if hash else None
        image, filtered, tiles = _read(path, opened, plan, exact, threads, progress)
        if profile is not None:
            image = to_srgb(image, profile)
        refuse_background(image)
        notes = resolution_notes(opened, slide_mpp) + notes_on(image, settings.canvas)
        if icc and profile is None:
            notes.append("it has no ICC profile, so its colors were not converted")
        sides = microns_per_pixel(opened, slide_mpp) or (None, None)
        provenance = {
            "vendor": opened.properties[openslide.PROPERTY_NAME_VENDOR],
            "slide_width": opened.dimensions[0],
            "slide_height": opened.dimensions[1],
            "level": plan.level,
            "level_factor": plan.level_downsample,
            "total_factor": plan.downsample,
            "fit_factor": plan.fit_factor,
            "filter": filtered,
            "output_mpp_x": sides[0] and sides[0] * plan.downsample,
            "output_mpp_y": sides[1] and sides[1] * plan.downsample,
            "icc": profile and ImageCms.getProfileDescription(profile).strip(),
            "width": plan.size[0],
            "height": plan.size[1],
            "left": plan.position[0],
            "top": plan.position[1],
            "content": content_of(opened, state["bytes"], tiles),
            "hash": whole and whole.result(lambda: progress(1, 1)),
            **state,
            "notes": "; ".join(notes),
            "openslide": openslide.__library_version__,
            "settings": settings.record(),
        }
    return SlideImage(on_canvas(image, plan, settings.canvas), provenance)


def _read(
    path: Path,
    slide: openslide.OpenSlide,
    plan: Plan,
    exact: bool,
    threads: int,
    progress: Callable[[int, int], None],
) -> tuple[np.ndarray, str, TilesHash]:
    """Return the image, the filter's name, and a hash of the data if OpenSlide has none."""
    unknown, tiles = not quickhash(slide), TilesHash()
    averaged = any(abs(factor - 1) > 1e-9 for factor in plan.factors)
    found = read_jpeg_tiles(
        path, slide, plan, threads, progress, exact=exact, tiles=tiles if unknown else None
    )
    if found is not None:
        image, scaled = found
    else:
        tiles, scaled = TilesHash(), False
        image = read_over_white(slide, plan, threads, progress, tiles=tiles if unknown else None)
    filtered = "area, scaled decoding" if scaled else "area" if averaged else "none"
    return image, filtered, tiles


def read_provenance(path: Path) -> dict | None:
    """Return the provenance stored in a PNG; None if the file is missing or incomplete.

    Raises:
        ValueError: If the file was not written by :meth:`SlideImage.save`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) >= _MARK_AT + len(_MARK) and not data.startswith(_MARK, _MARK_AT):
        raise ValueError(
            f"{path} was not made by this command; choose another output folder, or move the file"
        )
    if not data.endswith(b"IEND\xaeB`\x82"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # checks every checksum in the file
            return json.loads(image.info[NOTES])
    except (OSError, SyntaxError, KeyError, ValueError, Image.DecompressionBombError):
        return None


def file_state(path: Path) -> dict:
    """Return size in bytes and modification time of a file, to detect that it has changed."""
    state = os.stat(path)
    changed = datetime.fromtimestamp(state.st_mtime, UTC)
    return {"bytes": state.st_size, "modified": changed.isoformat()}
