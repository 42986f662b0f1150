"""The network of chapter 5: two convolutions and a dense layer with widths chosen by MorphNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

LAYERS = ("conv1", "conv2", "dense")
#: Channels of the two convolutions in the thesis, and the units of the dense layer (ours).
WIDTHS = (32, 64, 512)


def network(widths: tuple[int, ...], normalized: bool = False) -> keras.Model:
    """Return a network from images 28×28×1, scaled to [0, 1], to ten logits.

    It has 3×3 convolution, ReLU and 2×2 max pooling, all of it twice; then a dense layer with ReLU;
    then the logits. (``Architecture`` cannot describe it: outside its blocks, a residual
    architecture has no 3×3 convolution except the stem.)

    Args:
        widths: Channels of the two convolutions and units of the dense layer; with two entries,
            no dense layer precedes the logits.
        normalized: Whether batch normalization, instead of a bias, follows each convolution.
    """
    import keras
    from keras import layers

    from resbuilder.model import BN_MOMENTUM

    x = inputs = keras.Input((28, 28, 1))
    for name, width in zip(LAYERS, widths[:2], strict=False):
        x = layers.Conv2D(width, 3, use_bias=not normalized, name=name)(x)
        if normalized:
            x = layers.BatchNormalization(momentum=BN_MOMENTUM)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for width in widths[2:]:
        x = layers.Dense(width, "relu", name=LAYERS[2])(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def flops(widths: tuple[int, ...]) -> int:
    """Return the FLOPs for one image, 2 for each multiply-add: 6,498,560 for :data:`WIDTHS`."""
    first, second, *dense = widths
    total, features = 26**2 * 9 * first + 11**2 * 9 * first * second, 5**2 * second
    for width in (*dense, 10):
        total += features * width
        features = width
    return 2 * total


def size(widths: tuple[int, ...]) -> int:
    """Return the number of kernel weights: 843,040 for :data:`WIDTHS`."""
    first, second, *dense = widths
    total, features = 9 * first + 9 * first * second, 5**2 * second
    for width in (*dense, 10):
        total += features * width
        features = width
    return total


def expanded(widths: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """Return the widths scaled by the largest factor that fits a FLOPs budget."""
    from resbuilder.morphnet import ChannelGraph, expand

    graph = ChannelGraph(network(widths))
    names = LAYERS[: len(widths)]
    chosen = expand(graph, dict(zip(names, widths, strict=True)), budget).widths
    return tuple(chosen[name] for name in names)
