"""Settings of the image that is made from a slide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral

from survival.checks import number

DOWNSAMPLE = 64.0
CANVAS = (2500, 2000)
# Making an image takes 16 bytes per pixel, and Pillow warns of larger images.
LARGEST_CANVAS = 80_000_000
# Micrometres per level-0 pixel: scanners have 0.1 to 4, whereas a tag of 72 dpi means 353.
COARSEST = 10.0


class SlideError(ValueError):
    """Raised for a slide that cannot be converted to an image; the message gives the reason."""


@dataclass(frozen=True)
class Settings:
    """Size and colors of the image of a slide.

    Args:
        downsample: Level-0 pixels per image pixel along each axis, at least 1; 64 unless ``mpp``
            is given.
        mpp: Micrometres per image pixel, instead of ``downsample``.
        canvas: Width and height of the image in pixels.
        fit: Whether a slide that is larger than the canvas is reduced further; otherwise it is an
            error.
        icc: Whether colors are converted from the slide's ICC profile to sRGB, if it has one.
        slide_mpp: Micrometres per level-0 pixel of a slide that does not state it.
        exact: Whether JPEG tiles are always decoded at full size.

    Raises:
        ValueError: A value is invalid, or both ``downsample`` and ``mpp`` are given.
    """

    downsample: float | None = None
    mpp: float | None = None
    canvas: tuple[int, int] = CANVAS
    fit: bool = False
    icc: bool = False
    slide_mpp: float | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if self.downsample is not None and self.mpp is not None:
            raise ValueError(
                f"give downsample or mpp, not both (got {self.downsample} and {self.mpp})"
            )
        if self.mpp is not None:
            said = "a number of micrometres per pixel > 0"
            object.__setattr__(self, "mpp", number("mpp", self.mpp, said, lambda v: v > 0))
        else:
            factor = DOWNSAMPLE if self.downsample is None else self.downsample
            factor = number("downsample", factor, "a number >= 1", lambda v: v >= 1)
            object.__setattr__(self, "downsample", factor)
        if self.slide_mpp is not None:
            said = f"a number of micrometres per slide pixel, > 0 and <= {COARSEST:g}"
            size = number("slide_mpp", self.slide_mpp, said, lambda v: 0 < v <= COARSEST)
            object.__setattr__(self, "slide_mpp", size)
        pair = isinstance(self.canvas, (tuple, list)) and len(self.canvas) == 2
        if not pair or not all(isinstance(n, Integral) and n > 0 for n in self.canvas):
            raise ValueError(
                f"canvas must be a width and a height in pixels, such as (2500, 2000), "
                f"not {self.canvas!r}"
            )
        if self.canvas[0] * self.canvas[1] > LARGEST_CANVAS:
            raise ValueError(
                f"canvas must not have more than {LARGEST_CANVAS:,} pixels, "
                f"not {self.canvas[0]}x{self.canvas[1]}"
            )
        object.__setattr__(self, "canvas", tuple(int(n) for n in self.canvas))

    def record(self) -> dict:
        """Return the settings as JSON would return them, without those that were not given."""
        values = asdict(self) | {"canvas": list(self.canvas)}
        if not self.exact:
            del values["exact"]  # so that images made before this setting existed still match
        return {name: value for name, value in values.items() if value is not None}
