"""Error level analysis: find parts of a JPEG image with a different history from the rest."""

import io

import numpy as np
from PIL import Image

QUALITIES = range(1, 101)


def error_level_analysis(image: np.ndarray, quality: int = 90) -> np.ndarray:
    """Return how much each pixel changes when the image is saved as JPEG again.

    Parts that were saved at about this quality before, on the same grid of 8x8 blocks, hardly
    change. A part with a different history (pasted, filled in, saved at another quality) changes by
    a different amount and stands out (N. Krawetz, "A Picture's Worth", Black Hat USA 2007). Use the
    original pixels of the file: resizing or rotating the image moves them off the grid of blocks.

    Args:
        image: uint8 pixels (height, width) or (height, width, channels), gray or RGB.
        quality: Quality of the JPEG, 1 to 100, on Pillow's scale.

    Returns:
        |image - JPEG(image)|, uint8, of the same shape; in gray levels, not brightened.

    Raises:
        ValueError: If the image has the wrong shape or type, or the quality is out of range.

    Example:
        >>> pixels = np.asarray(Image.open("photograph.jpg"))
        >>> six_channels = np.concatenate([pixels, error_level_analysis(pixels)], axis=-1)
        >>> pixels.shape, six_channels.shape
        ((427, 640, 3), (427, 640, 6))
    """
    return np.abs(image.astype(np.int16) - jpeg(image, quality)).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the pixels of an image after saving it as JPEG and opening it again.

    Args:
        image: As for :func:`error_level_analysis`.
        quality: As for :func:`error_level_analysis`.

    Returns:
        uint8, of the same shape.

    Raises:
        ValueError: As :func:`error_level_analysis`.
    """
    check_quality(quality)
    image = np.asarray(image)
    channels = image.shape[2:]
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in ((), (1,), (3,)):
        raise ValueError(
            "expected a gray or RGB image of uint8, (height, width) or (height, width, 1 or 3); "
            f"got {image.dtype} of shape {image.shape}"
        )
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if channels == (1,) else image).save(
        file, "JPEG", quality=quality
    )
    return np.asarray(Image.open(file)).reshape(image.shape)


def check_quality(quality: int) -> None:
    """Check a JPEG quality.

    Raises:
        ValueError: If it is not a whole number from 1 to 100.
    """
    if quality not in QUALITIES:
        raise ValueError(f"a JPEG quality must be a whole number from 1 to 100, got {quality!r}")
