"""Which level of a slide is read, by how much it is averaged, and where the image then lies.

Three frames, all (x, y) from the upper left corner: level-0 pixels ``l0_``, pixels of the level
that is read ``l_``, and pixels of the image, without prefix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import openslide

from survival.slides.averaging import cells_over
from survival.slides.settings import COARSEST, Settings, SlideError

# Levels whose sides were rounded report 64.05 for 64: within this share a level is the one wanted.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Plan:
    """How a slide becomes an image.

    Args:
        level: The level to read.
        level_downsample: Level-0 pixels per pixel of that level.
        l_corner: Upper left corner of what is read, in pixels of the level.
        l_size: Its width and height, in pixels of the level.
        factors: Pixels of the level per image pixel, along x and y.
        downsample: Level-0 pixels per image pixel.
        size: Width and height of the image.
        position: Where its upper left corner lies on the canvas.
        fit_factor: The part of ``downsample`` that made the image fit the canvas.
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
    """Return micrometres per level-0 pixel along x and y; None if nobody knows.

    Args:
        slide: An open slide. What it says is not believed beyond :data:`.settings.COARSEST`.
        slide_mpp: What the user says, for a slide that does not.
    """
    sides = _stated(slide)
    if sides and max(sides) <= COARSEST:
        return sides
    return (slide_mpp, slide_mpp) if slide_mpp else None


def resolution_notes(slide: openslide.AbstractSlide, slide_mpp: float | None) -> list[str]:
    """Say where a resolution was not believed, the slide's own or the user's."""
    sides, notes = _stated(slide), []
    if sides and max(sides) > COARSEST:
        notes.append(f"{_unbelieved(sides)}, so it was not used")
    elif sides and slide_mpp and max(abs(side / slide_mpp - 1) for side in sides) > TOLERANCE:
        notes.append(
            f"it says itself that its pixels have {sides[0]:g} micrometres; the "
            f"{slide_mpp:g} given (--slide-mpp) were not used"
        )
    return notes


def _stated(slide: openslide.AbstractSlide) -> tuple[float, float] | None:
    try:
        x, y = (float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "xy")
    except (KeyError, ValueError):
        return None
    return (x, y) if all(math.isfinite(side) and side > 0 for side in (x, y)) else None


def _unbelieved(sides: tuple[float, float]) -> str:
    dpi = 25_400 / max(sides)
    return (
        f"its tags say {max(sides):.4g} micrometres per pixel ({dpi:.0f} dpi), which is a default "
        "of programs and not the resolution of a scanner"
    )


def make_plan(slide: openslide.AbstractSlide, settings: Settings) -> Plan:
    """Choose level, factors and place of the image.

    Only the scanned area is taken where a slide names it (``openslide.bounds-…``); the rest is
    empty.

    Raises:
        SlideError: If the slide does not allow what the settings ask for.
    """
    wanted = _wanted_downsample(slide, settings)
    plan = _plan(slide, wanted, settings.canvas, TOLERANCE)
    if not _fits(plan, settings) and settings.fit:
        l0_size = _scanned_area(slide)[1]
        needed = max(n / m for n, m in zip(l0_size, settings.canvas, strict=True))
        # A level within the tolerance could still be too large by a pixel, so without it.
        plan = _plan(slide, max(needed, wanted), settings.canvas, 0)
        while not _fits(plan, settings):  # Borders of levels were widened to whole pixels.
            plan = _plan(slide, plan.downsample * 1.001, settings.canvas, 0)
        plan = replace(plan, fit_factor=plan.downsample / wanted)
    if not _fits(plan, settings):
        ratio = max(n / m for n, m in zip(plan.size, settings.canvas, strict=True))
        raise SlideError(
            f"its image of {plan.size[0]}x{plan.size[1]} pixels is larger than the canvas of "
            f"{settings.canvas[0]}x{settings.canvas[1]}; reduce it further (--fit), or take a "
            f"larger canvas, or a downsample of about {math.ceil(plan.downsample * ratio)}"
        )
    return plan


def _wanted_downsample(slide: openslide.AbstractSlide, settings: Settings) -> float:
    if settings.mpp is None:
        assert settings.downsample is not None, "settings always have one of the two"
        return settings.downsample
    sides = microns_per_pixel(slide, settings.slide_mpp)
    if sides is None:
        stated = _stated(slide)
        why = _unbelieved(stated) if stated else "it does not say how large its pixels are"
        raise SlideError(
            f"{why}, so {settings.mpp:g} micrometres per pixel cannot be reached; say it "
            "(--slide-mpp, or a column slide_mpp), or give this slide a downsample instead of mpp"
        )
    if abs(sides[0] / sides[1] - 1) > TOLERANCE:
        raise SlideError(
            f"its pixels are not square, {sides[0]:g} by {sides[1]:g} micrometres, so one mpp "
            "cannot serve both axes; give this slide a downsample"
        )
    wanted = settings.mpp / (sum(sides) / 2)
    if wanted < 1 - TOLERANCE:
        raise SlideError(
            f"its pixels of {sides[0]:g} micrometres are larger than the {settings.mpp:g} asked "
            "for; it would have to be enlarged"
        )
    return max(1.0, wanted)


def _scanned_area(slide: openslide.AbstractSlide) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corner and size, in level-0 pixels, of the part that the scanner looked at."""
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
    as_it_is = abs(level_downsample / downsample - 1) <= tolerance
    if as_it_is:
        downsample = level_downsample
    l0_corner, l0_size = _scanned_area(slide)

    def along(axis: int) -> tuple[int, int, float]:
        """First pixel, number of pixels, and pixels of the level per image pixel."""
        # The sides of a level are rounded, so each axis has its own ratio.
        l0_per_l = slide.dimensions[axis] / slide.level_dimensions[level][axis]
        start = math.floor(l0_corner[axis] / l0_per_l + 1e-6)
        stop = math.ceil((l0_corner[axis] + l0_size[axis]) / l0_per_l - 1e-6)
        return start, max(1, stop - start), 1.0 if as_it_is else downsample / l0_per_l

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
