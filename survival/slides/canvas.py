"""From averaged pixels to the image: colour profile, anything to see, the middle of the canvas."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageCms

from survival.slides.geometry import Plan
from survival.slides.settings import SlideError

# Glass without tissue differs by less than this many grey levels, averaged over areas.
BACKGROUND_RANGE = 8
# Images that cover less of their canvas than this share are specks.
SMALLEST_SHARE = 0.02
# A pixel without light has less in every colour; stained tissue and glass have more.
DARK = 50


def to_srgb(image: np.ndarray, profile: ImageCms.ImageCmsProfile) -> np.ndarray:
    """Convert the colours of an image, uint8 (height, width, 3), from a profile to sRGB.

    Raises:
        SlideError: If the profile is not for such an image, or broken.
    """
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(image),
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
        )
    except ImageCms.PyCMSError as error:
        raise SlideError(f"its colour profile cannot be used: {error}") from None
    return np.asarray(converted)


def refuse_background(image: np.ndarray) -> None:
    """Refuse an image on which there is nothing to see.

    Raises:
        SlideError: If no colour varies over the image by more than a few grey levels.
    """
    # The last row and column may be mixed with the white outside the slide.
    inner = image[: max(1, image.shape[0] - 1), : max(1, image.shape[1] - 1)]
    # Of each colour; an image of one alone would give two numbers.
    ranges = [pair for pair in Image.fromarray(inner).getextrema() if isinstance(pair, tuple)]
    spread = max(high - low for low, high in ranges)
    if spread <= BACKGROUND_RANGE:
        raise SlideError(
            f"nothing but background: every pixel of its image is within {spread} grey levels of "
            f"the others, around RGB {tuple((low + high) // 2 for low, high in ranges)}"
        )


def notes_on(image: np.ndarray, canvas: tuple[int, int]) -> list[str]:
    """Say what a person should look at in an image, uint8 (height, width, 3)."""
    notes = []
    height, width = image.shape[:2]
    share = width * height / (canvas[0] * canvas[1])
    if share < SMALLEST_SHARE:
        notes.append(
            f"its image of {width}x{height} pixels covers {100 * share:.2g} % of the canvas: is "
            "the downsample too large, or the resolution wrong that it gives?"
        )
    red, green, blue = np.moveaxis(image, -1, 0)
    if (np.maximum(np.maximum(red, green), blue) < DARK).mean() > 0.5:
        notes.append(
            "its background is dark, as in fluorescence: it lies on white all the same, and a "
            "network for stained tissue is not made for it"
        )
    return notes


def on_canvas(image: np.ndarray, plan: Plan, canvas: tuple[int, int]) -> np.ndarray:
    """Lay an image on a white canvas, at the plan's position; uint8 (height, width, 3)."""
    whole = np.full((canvas[1], canvas[0], 3), 255, np.uint8)
    left, top = plan.position
    whole[top : top + image.shape[0], left : left + image.shape[1]] = image
    return whole
