"""From averaged pixels to the final image: color profile, checks, position on the canvas."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageCms

from survival.slides.geometry import Plan
from survival.slides.settings import SlideError

# After averaging, glass without tissue varies by at most this many gray levels.
BACKGROUND_RANGE = 8
# Images that cover a smaller fraction of the canvas than this are reported in a note.
SMALLEST_SHARE = 0.02
# Dark background is below this value in every color; stained tissue and glass are above it.
DARK = 50


def to_srgb(image: np.ndarray, profile: ImageCms.ImageCmsProfile) -> np.ndarray:
    """Convert the colors of an image, uint8 (height, width, 3), from a profile to sRGB.

    Raises:
        SlideError: If the profile does not apply to RGB images, or is damaged.
    """
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(image),
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
        )
    except ImageCms.PyCMSError as error:
        raise SlideError(f"its color profile cannot be used: {error}") from None
    return np.asarray(converted)


def refuse_background(image: np.ndarray) -> None:
    """Refuse an image that shows nothing but background.

    Raises:
        SlideError: If no color varies over the image by more than :data:`BACKGROUND_RANGE`.
    """
    # Without the last row and column, which may be mixed with the white outside the slide.
    inner = image[: max(1, image.shape[0] - 1), : max(1, image.shape[1] - 1)]
    # A pair per color. (An image with one channel would give two numbers instead.)
    ranges = [pair for pair in Image.fromarray(inner).getextrema() if isinstance(pair, tuple)]
    spread = max(high - low for low, high in ranges)
    if spread <= BACKGROUND_RANGE:
        raise SlideError(
            f"its image shows nothing but background: all pixels are within {spread} gray levels "
            f"of each other, around RGB {tuple((low + high) // 2 for low, high in ranges)}"
        )


def notes_on(image: np.ndarray, canvas: tuple[int, int]) -> list[str]:
    """Return notes on what a person should check in an image, uint8 (height, width, 3)."""
    notes = []
    height, width = image.shape[:2]
    share = width * height / (canvas[0] * canvas[1])
    if share < SMALLEST_SHARE:
        notes.append(
            f"its image of {width}x{height} pixels covers only {100 * share:.2g} % of the canvas: "
            "is the downsample too large, or the slide's stated resolution wrong?"
        )
    red, green, blue = np.moveaxis(image, -1, 0)
    if (np.maximum(np.maximum(red, green), blue) < DARK).mean() > 0.5:
        notes.append(
            "its background is dark, as in fluorescence. The canvas around it is white "
            "nevertheless, and a network for stained tissue does not suit such slides"
        )
    return notes


def on_canvas(image: np.ndarray, plan: Plan, canvas: tuple[int, int]) -> np.ndarray:
    """Return a white canvas with the image at the plan's position; uint8 (height, width, 3)."""
    whole = np.full((canvas[1], canvas[0], 3), 255, np.uint8)
    left, top = plan.position
    whole[top : top + image.shape[0], left : left + image.shape[1]] = image
    return whole
