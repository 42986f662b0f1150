"""One slide: from its file to an image that says where it comes from."""

from __future__ import annotations

import hashlib
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
from survival.slides.canvas import on_canvas, refuse_background, to_srgb
from survival.slides.geometry import make_plan, microns_per_pixel
from survival.slides.jpeg_tiles import read_jpeg_tiles
from survival.slides.reading import open_slide, read_over_white
from survival.slides.settings import CANVAS, Settings, SlideError
from survival.slides.tiff import refuse_contradictions

# The key under which a PNG keeps its provenance, as JSON.
_KEY = "survival"
# Its first bytes, and where they are: behind signature, header and the chunk's length.
_MARK, _MARK_AT = f"tEXt{_KEY}\0".encode(), 8 + 25 + 4


@dataclass(frozen=True)
class SlideImage:
    """The image of a slide.

    Args:
        image: uint8 array (canvas height, canvas width, 3).
        provenance: Where it comes from: what :func:`preprocess_slide` lists.
    """

    image: np.ndarray
    provenance: dict

    def save(self, path: str | Path) -> None:
        """Write a PNG that carries the provenance; whole or not at all."""
        notes = PngImagePlugin.PngInfo()
        notes.add_text(_KEY, json.dumps(self.provenance))
        with atomically(Path(path)) as part:
            # Run lengths: for such images faster than zlib's default, and no larger.
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
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SlideImage:
    """Turn a whole-slide image into the input of a network, in bounded memory.

    The level of the slide nearest above the wanted resolution is averaged over areas by what
    remains (within 1 % of a level nothing does, and it is taken as it is), laid over white, and
    centred on a white canvas.

    Args:
        slide: File of any format that OpenSlide reads.
        downsample: Level-0 pixels per image pixel; 64 unless ``mpp`` is given.
        canvas: Width and height of the image, in pixels.
        mpp: Instead of ``downsample``: micrometres per image pixel.
        fit: Reduce a slide further that would be larger than the canvas, instead of refusing it.
        icc: Convert colours from the slide's ICC profile to sRGB (after averaging).
        threads: Pieces of the slide decoded at the same time, about 30 MB each.
        progress: Called with pieces done and their number, while reading.

    Returns:
        The image, and its provenance: ``vendor``, ``slide_width``, ``slide_height`` (level 0),
        ``level``, ``level_factor``, ``total_factor`` (level-0 pixels per pixel of the level, of
        the image), ``fit_factor`` (the part of it that made the image fit), ``filter`` (area or
        none), ``output_mpp_x``, ``output_mpp_y`` (None if the slide does not say), ``icc`` (the
        profile converted from), ``width``, ``height``, ``left``, ``top`` (of the slide's image on
        the canvas), ``sha256``, ``bytes``, ``modified`` (of the slide's file), ``openslide`` (its
        version), ``settings``.

    Raises:
        SlideError: A ValueError: the slide is broken, does not fit, lacks what the settings need,
            or shows nothing but background.
        ValueError: Settings that make no sense.
        OSError: No such file, or no permission.

    Example:
        >>> slide = preprocess_slide("case.svs", downsample=64, canvas=(250, 200))
        >>> slide.image.shape
        (200, 250, 3)
        >>> slide.save("case.png")
    """
    settings = Settings(downsample, mpp, canvas, fit, icc)
    progress = progress or (lambda done, total: None)
    path = Path(slide)
    # Before it is read: a file that is still being written has another state afterwards.
    state = file_state(path)
    with open_slide(path) as opened:
        refuse_contradictions(path, opened)
        plan = make_plan(opened, settings)
        profile = _profile(opened) if icc else None
        image = read_jpeg_tiles(path, opened, plan, threads, progress)
        if image is None:
            image = read_over_white(opened, plan, threads, progress)
        if profile is not None:
            image = to_srgb(image, profile)
        refuse_background(image)
        sides = microns_per_pixel(opened) or (None, None)
        averaged = any(abs(factor - 1) > 1e-9 for factor in plan.factors)
        provenance = {
            "vendor": opened.properties[openslide.PROPERTY_NAME_VENDOR],
            "slide_width": opened.dimensions[0],
            "slide_height": opened.dimensions[1],
            "level": plan.level,
            "level_factor": plan.level_downsample,
            "total_factor": plan.downsample,
            "fit_factor": plan.fit_factor,
            "filter": "area" if averaged else "none",
            "output_mpp_x": sides[0] and sides[0] * plan.downsample,
            "output_mpp_y": sides[1] and sides[1] * plan.downsample,
            "icc": profile and ImageCms.getProfileDescription(profile).strip(),
            "width": plan.size[0],
            "height": plan.size[1],
            "left": plan.position[0],
            "top": plan.position[1],
            "sha256": sha256(path, lambda: progress(1, 1)),
            **state,
            "openslide": openslide.__library_version__,
            "settings": settings.record(),
        }
    return SlideImage(on_canvas(image, plan, settings.canvas), provenance)


def read_provenance(path: Path) -> dict | None:
    """The provenance that a PNG carries; None if there is no such file, or it is not whole.

    Raises:
        ValueError: If the file is another one than :meth:`SlideImage.save` writes.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) >= _MARK_AT + len(_MARK) and not data.startswith(_MARK, _MARK_AT):
        raise ValueError(f"{path} was not made by this command; choose another folder, or move it")
    if not data.endswith(b"IEND\xaeB`\x82"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # Every checksum in the file.
            return json.loads(image.info[_KEY])
    except (OSError, SyntaxError, KeyError, ValueError, Image.DecompressionBombError):
        return None


def file_state(path: Path) -> dict:
    """Size in bytes and time of the last change of a file: another state is another file."""
    state = os.stat(path)
    changed = datetime.fromtimestamp(state.st_mtime, UTC)
    return {"bytes": state.st_size, "modified": changed.isoformat()}


def sha256(path: Path, progress: Callable[[], None] = lambda: None) -> str:
    """Hash of a slide: of its file, and of the folder beside it where a MIRAX slide keeps data.

    Of other slides in several files (VMS, DICOM) it is the hash of the one that is named.

    Args:
        path: The slide's file.
        progress: Called every few megabytes.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    files = [path]
    if path.suffix.lower() == ".mrxs":
        files += sorted(f for f in path.with_suffix("").rglob("*") if f.is_file())
    for file in files:
        with open(file, "rb") as opened:
            while block := opened.read(2**22):
                digest.update(block)
                progress()
    return digest.hexdigest()


def _profile(slide: openslide.OpenSlide) -> ImageCms.ImageCmsProfile:
    profile = slide.color_profile
    if profile is None:
        raise SlideError("it carries no ICC profile, so its colours cannot be converted (--icc)")
    return profile
