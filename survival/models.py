"""The network of chapter 7, from the image of a slide to a log-hazard."""

from __future__ import annotations

import keras
from keras import layers

# Number of convolutions in each block, and of their filters. 2×2 max pooling separates the blocks.
BLOCKS = ((1, 64), (1, 64), (2, 128), (2, 256), (2, 512))
DENSE = (4096, 2048)


def check_canvas(input_shape: tuple[int, int, int]) -> None:
    """Raise a ValueError if an image is too small for the four poolings of the network."""
    if len(input_shape) != 3 or min(input_shape[:2]) < 16 or input_shape[2] < 1:
        raise ValueError(
            f"input_shape must be (height, width, channels) with at least 16×16 pixels, not "
            f"{input_shape}"
        )


def vgg_survival_model(
    input_shape: tuple[int, int, int] = (2000, 2500, 3),
    width: float = 1.0,
    dtype: str = "float32",
    seed: int | None = None,
) -> keras.Model:
    """Return the author's VGG-like network, which computes one log-hazard per slide.

    It has eight 3×3 convolutions with ReLU in five blocks (64; 64; 128, 128; 256, 256; 512, 512),
    2×2 max pooling between the blocks, global average pooling, and dense layers of 4096, 2048 and 1
    units. With flattening instead of global pooling, the canvas would require 4·10¹⁰ weights.

    Args:
        input_shape: Height, width and channels of a canvas. The thesis' canvas is 2500 pixels wide
            and 2000 pixels high.
        width: Factor on the units of every layer except the last, for smaller canvases.
        dtype: A Keras dtype policy, such as ``"mixed_bfloat16"``, which halves the memory. The last
            layer always computes in float32, because the loss compares small differences.
        seed: Random seed of the initial weights; None draws one.

    Returns:
        A model from raw pixels, 0 to 255, of shape (n, height, width, channels) to log-hazards of
        shape (n, 1); a higher value means a higher risk. The last layer has no activation and no
        bias, because a constant does not change Cox' partial likelihood.

    Raises:
        ValueError: If the canvas is too small for four poolings, or ``width`` is not positive.
    """
    check_canvas(input_shape)
    if not width > 0:
        raise ValueError(f"width must be a number > 0, not {width}")
    seeds = keras.random.SeedGenerator(seed)

    def units(number: int) -> int:
        return max(1, round(number * width))

    def initializer():
        return keras.initializers.HeUniform(seed=seeds)

    pixels = keras.Input(input_shape, name="pixels")
    # White, the background, becomes 0, the same value as the padding at the border.
    x = layers.Rescaling(-1 / 255, offset=1.0, dtype=dtype, name="darkness")(pixels)
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            x = layers.Conv2D(
                units(filters),
                3,
                padding="same",
                activation="relu",
                kernel_initializer=initializer(),
                dtype=dtype,
                name=f"block{block}_conv{number}",
            )(x)
        if block < len(BLOCKS):
            x = layers.MaxPooling2D(dtype=dtype, name=f"block{block}_pool")(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    for number, size in enumerate(DENSE, start=1):
        x = layers.Dense(
            units(size),
            activation="relu",
            kernel_initializer=initializer(),
            dtype=dtype,
            name=f"dense{number}",
        )(x)
    risk = layers.Dense(
        1, use_bias=False, kernel_initializer=initializer(), dtype="float32", name="log_hazard"
    )(x)
    return keras.Model(pixels, risk, name="vgg_survival")
