"""What a user decides about the image made of a slide."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral

from survival.checks import number

DOWNSAMPLE = 64.0
CANVAS = (2500, 2000)
# 16 bytes each are needed while an image is made; Pillow warns of larger ones.
LARGEST_CANVAS = 80_000_000
# Micrometres per level-0 pixel: scanners have 0.1 to 4, a tag of 72 dpi says 353.
COARSEST = 10.0


class SlideError(ValueError):
    """A slide that cannot become an image; the message says why."""


@dataclass(frozen=True)
class Settings:
    """Size and colours of the image of a slide.

    Args:
        downsample: Level-0 pixels per image pixel along each axis, at least 1; 64 unless ``mpp``
            is given.
        mpp: Instead of a factor: micrometres per pixel of the image.
        canvas: Width and height of the image in pixels.
        fit: Whether a slide that would be larger than the canvas is reduced further; otherwise it
            is an error.
        icc: Whether colours are converted from the slide's ICC profile to sRGB, if it has one.
        slide_mpp: Micrometres per level-0 pixel of a slide that does not know its own.
        exact: Whether JPEG tiles are decoded in full, even if smaller ones would do.

    Raises:
        ValueError: Values that make no sense.
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
            number("mpp", self.mpp, "a number of micrometres per pixel > 0", lambda v: v > 0)
        else:
            factor = DOWNSAMPLE if self.downsample is None else self.downsample
            factor = number("downsample", factor, "a number >= 1", lambda v: v >= 1)
            object.__setattr__(self, "downsample", factor)
        if self.slide_mpp is not None:
            said = f"a number of micrometres per slide pixel, > 0 and <= {COARSEST:g}"
            number("slide_mpp", self.slide_mpp, said, lambda v: 0 < v <= COARSEST)
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
        """The settings as JSON gives them back; those left out are not in it."""
        values = asdict(self) | {"canvas": list(self.canvas)}
        if not self.exact:
            del values["exact"]  # images from before there was this setting had the same
        return {name: value for name, value in values.items() if value is not None}
