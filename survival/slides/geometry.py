"""Geometry: which level of a slide is read, by which factor, and where the image is placed.

There are three coordinate systems, all (x, y) from the upper left corner: level-0 pixels (prefix
``l0_``), pixels of the level that is read (prefix ``l_``), and pixels of the image (no prefix).

With a desired downsample D and levels with downsamples d, the level read has the largest
d ≤ D·(1 + :data:`TOLERANCE`). It is averaged by D/d. If |d/D − 1| is within the tolerance, the
level is used unchanged, and the image's downsample is d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import openslide

from survival.slides.averaging import cells_over
from survival.slides.settings import COARSEST, Settings, SlideError

# A level whose sides were rounded reports 64.05 instead of 64. Relative deviations up to this are
# accepted.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Plan:
    """How a slide becomes an image.

    Args:
        level: The level to read.
        level_downsample: Level-0 pixels per pixel of that level.
        l_corner: Upper left corner of the area that is read, in pixels of the level.
        l_size: Width and height of that area, in pixels of the level.
        factors: Pixels of the level per image pixel, along x and y.
        downsample: Level-0 pixels per image pixel.
        size: Width and height of the image.
        position: Position of the image's upper left corner on the canvas.
        fit_factor: Factor in ``downsample`` that made the image fit the canvas.
    """

    level: int
    level_downsample: float
    l_corner: tuple[int, int]
    l_size: tuple[int, int]
    factors: tuple[float, float]
    downsample: float
    size: tuple[int, int]
    position: tuple[int, int]
    fit_factor: float = 1.0


def microns_per_pixel(
    slide: openslide.AbstractSlide, slide_mpp: float | None = None
) -> tuple[float, float] | None:
    """Return micrometres per level-0 pixel along x and y; None if unknown.

    Args:
        slide: An open slide. Stated values above :data:`.settings.COARSEST` are ignored.
        slide_mpp: The user's value, for a slide that states none.
    """
    sides = _stated(slide)
    if sides and max(sides) <= COARSEST:
        return sides
    return (slide_mpp, slide_mpp) if slide_mpp else None


def resolution_notes(slide: openslide.AbstractSlide, slide_mpp: float | None) -> list[str]:
    """Return notes if a stated resolution was ignored, the slide's or the user's."""
    sides, notes = _stated(slide), []
    if sides and max(sides) > COARSEST:
        notes.append(f"{_implausible(sides)}, so it was ignored")
    elif sides and slide_mpp and max(abs(side / slide_mpp - 1) for side in sides) > TOLERANCE:
        notes.append(
            f"the slide states {sides[0]:g} micrometres per pixel, so the {slide_mpp:g} given with "
            "--slide-mpp were ignored"
        )
    return notes


def _stated(slide: openslide.AbstractSlide) -> tuple[float, float] | None:
    try:
        x, y = (float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "xy")
    except (KeyError, ValueError):
        return None
    return (x, y) if all(math.isfinite(side) and side > 0 for side in (x, y)) else None


def _implausible(sides: tuple[float, float]) -> str:
    dpi = 25_400 / max(sides)
    return (
        f"its tags state {max(sides):.4g} micrometres per pixel ({dpi:.0f} dpi), which is a "
        "software default and not the resolution of a scanner"
    )


def make_plan(slide: openslide.AbstractSlide, settings: Settings) -> Plan:
    """Choose the level, the factors and the position of the image.

    If a slide states its scanned area (``openslide.bounds-…``), only that is used; the rest is
    empty.

    Raises:
        SlideError: If the settings cannot be met for this slide.
    """
    wanted = _wanted_downsample(slide, settings)
    plan = _plan(slide, wanted, settings.canvas, TOLERANCE)
    if not _fits(plan, settings) and settings.fit:
        l0_size = _scanned_area(slide)[1]
        needed = max(n / m for n, m in zip(l0_size, settings.canvas, strict=True))
        # Without tolerance: a level within it could still be one pixel too large.
        plan = _plan(slide, max(needed, wanted), settings.canvas, 0)
        while not _fits(plan, settings):  # The area was extended to whole pixels of the level.
            plan = _plan(slide, plan.downsample * 1.001, settings.canvas, 0)
        plan = replace(plan, fit_factor=plan.downsample / wanted)
    if not _fits(plan, settings):
        ratio = max(n / m for n, m in zip(plan.size, settings.canvas, strict=True))
        if settings.mpp is None:
            coarser = f"a downsample of about {math.ceil(plan.downsample * ratio)}"
        else:
            needed = settings.mpp * ratio
            digit = 10 ** (math.floor(math.log10(needed)) - 1)  # Rounded up to two digits.
            coarser = f"an mpp of about {math.ceil(needed / digit) * digit:.2g}"
        raise SlideError(
            f"its image of {plan.size[0]}x{plan.size[1]} pixels is larger than the canvas of "
            f"{settings.canvas[0]}x{settings.canvas[1]}; give --fit to shrink such slides, or "
            f"choose a larger canvas or {coarser}"
        )
    return plan


def _wanted_downsample(slide: openslide.AbstractSlide, settings: Settings) -> float:
    if settings.mpp is None:
        assert settings.downsample is not None, "settings always have one of the two"
        return settings.downsample
    sides = microns_per_pixel(slide, settings.slide_mpp)
    if sides is None:
        stated = _stated(slide)
        why = _implausible(stated) if stated else "it does not state the size of its pixels"
        raise SlideError(
            f"{why}, so it cannot be converted to {settings.mpp:g} micrometres per pixel; give the "
            "size with --slide-mpp or a column slide_mpp, or give this slide a downsample instead "
            "of mpp"
        )
    if abs(sides[0] / sides[1] - 1) > TOLERANCE:
        raise SlideError(
            f"its pixels are not square ({sides[0]:g} by {sides[1]:g} micrometres), so one mpp "
            "cannot hold for both axes; give this slide a downsample instead"
        )
    wanted = settings.mpp / (sum(sides) / 2)
    if wanted < 1 - TOLERANCE:
        raise SlideError(
            f"its pixels of {sides[0]:g} micrometres are larger than the {settings.mpp:g} "
            "requested, and slides are never enlarged; choose a larger mpp"
        )
    return max(1.0, wanted)


def _scanned_area(slide: openslide.AbstractSlide) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return corner and size of the scanned area, in level-0 pixels."""
    get = slide.properties.get
    names = ("x", "y", "width", "height")
    try:
        x, y, width, height = (int(get(f"openslide.bounds-{name}", "")) for name in names)
    except ValueError:
        return (0, 0), slide.dimensions
    inside = 0 <= x and 0 <= y and width > 0 and height > 0
    if not inside or x + width > slide.dimensions[0] or y + height > slide.dimensions[1]:
        return (0, 0), slide.dimensions
    return (x, y), (width, height)


def _plan(
    slide: openslide.AbstractSlide, downsample: float, canvas: tuple[int, int], tolerance: float
) -> Plan:
    within = downsample * (1 + tolerance)
    level = max(
        (i for i, d in enumerate(slide.level_downsamples) if d <= within),
        key=lambda i: slide.level_downsamples[i],
    )
    level_downsample = slide.level_downsamples[level]
    unchanged = abs(level_downsample / downsample - 1) <= tolerance
    if unchanged:
        downsample = level_downsample
    l0_corner, l0_size = _scanned_area(slide)

    def along(axis: int) -> tuple[int, int, float]:
        """Return first pixel, number of pixels, and pixels of the level per image pixel."""
        # The sides of a level are rounded, so the ratio differs between the axes.
        l0_per_l = slide.dimensions[axis] / slide.level_dimensions[level][axis]
        start = math.floor(l0_corner[axis] / l0_per_l + 1e-6)
        stop = math.ceil((l0_corner[axis] + l0_size[axis]) / l0_per_l - 1e-6)
        return start, max(1, stop - start), 1.0 if unchanged else downsample / l0_per_l

    (left, l_width, across), (top, l_height, down) = along(0), along(1)
    width, height = cells_over(l_width, across), cells_over(l_height, down)
    return Plan(
        level=level,
        level_downsample=level_downsample,
        l_corner=(left, top),
        l_size=(l_width, l_height),
        factors=(across, down),
        downsample=downsample,
        size=(width, height),
        position=((canvas[0] - width) // 2, (canvas[1] - height) // 2),
    )


def _fits(plan: Plan, settings: Settings) -> bool:
    return all(n <= m for n, m in zip(plan.size, settings.canvas, strict=True))
