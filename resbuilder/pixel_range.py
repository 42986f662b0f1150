"""Whether images have the units of the pixels that a network was trained on."""

from __future__ import annotations

import keras
import numpy as np

# Pixels 0 to 1 and 0 to 255 differ by 255; images of one range, hardly by 20.
FACTOR = 20


def check_range(model: keras.Model, pixels: tuple[float, float], name: str) -> None:
    """Check that pixels have the units of those that a network was trained on.

    A network standardizes pixels by the mean and the deviation of its training images.

    Args:
        model: The network, from raw pixels to logits.
        pixels: Lowest and highest pixel.
        name: Name of the images, for the error.

    Raises:
        ValueError: If the pixels are about 20 times as large or as small.
    """
    layer = next((x for x in model.layers if isinstance(x, keras.layers.Rescaling)), None)
    if layer is None:
        return
    scale, offset = np.asarray(layer.scale, float), np.asarray(layer.offset, float)
    deviation, mean = 1 / scale, -offset / scale
    usual = float((np.abs(mean) + 3 * deviation).max())
    largest = max(map(abs, pixels))
    if largest and not 1 / FACTOR < largest / usual < FACTOR:
        raise ValueError(
            f"the pixels of {name} are between {pixels[0]:g} and {pixels[1]:g}, but the network "
            f"was trained on pixels of about {mean.mean():.3g} ± {deviation.mean():.3g}: give "
            "images in the same units, such as 0 to 255 or 0 to 1"
        )
