"""The network of chapter 3: LeNet as in PyTorch's classification tutorial."""

import keras
from keras import layers


def lenet(input_shape: tuple[int, int, int], seed: int) -> keras.Model:
    """Return LeNet: two convolutions and three dense layers.

    It has 44,426 weights on 28×28×1 images and 62,006 on 32×32×3. Kernels and biases are
    initialized from U(±1/√fan_in), PyTorch's default, because the thesis used PyTorch.

    Args:
        input_shape: Height, width, channels.
        seed: Seed of the initialization.

    Returns:
        A Keras model from images to ten logits.
    """
    seeds = keras.random.SeedGenerator(seed)

    def initialized(kind, units, fan_in, **options):
        return kind(
            units,
            kernel_initializer=keras.initializers.RandomUniform(
                -(fan_in**-0.5), fan_in**-0.5, seed=seeds
            ),
            bias_initializer=keras.initializers.RandomUniform(
                -(fan_in**-0.5), fan_in**-0.5, seed=seeds
            ),
            **options,
        )

    height, width, channels = input_shape
    side = ((height - 4) // 2 - 4) // 2, ((width - 4) // 2 - 4) // 2
    flat = 16 * side[0] * side[1]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            initialized(layers.Conv2D, 6, 25 * channels, kernel_size=5, activation="relu"),
            layers.MaxPooling2D(),
            initialized(layers.Conv2D, 16, 25 * 6, kernel_size=5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            initialized(layers.Dense, 120, flat, activation="relu"),
            initialized(layers.Dense, 84, 120, activation="relu"),
            initialized(layers.Dense, 10, 84),
        ]
    )
