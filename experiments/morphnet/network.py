"""The network of chapter 5: two convolutions, whose widths MorphNet chooses."""

from __future__ import annotations

import keras
from keras import layers

from resbuilder.model import BN_MOMENTUM
from resbuilder.morphnet import ChannelGraph, expand

CONVOLUTIONS = ("conv1", "conv2")
#: Channels of the two convolutions in the thesis.
WIDTHS = (32, 64)


def network(widths: tuple[int, int]) -> keras.Model:
    """From images 28×28×1, scaled to [0, 1], to ten logits.

    Twice 3×3 convolution, batch normalization, ReLU and 2×2 max pooling, then a dense layer: with
    32 and 64 channels the network of Keras' example for MNIST, with batch normalization in place
    of its dropout. (A residual architecture cannot say this: outside of its blocks it has no 3×3
    convolution but the stem.)
    """
    x = inputs = keras.Input((28, 28, 1))
    for name, width in zip(CONVOLUTIONS, widths, strict=True):
        x = layers.Conv2D(width, 3, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=BN_MOMENTUM)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.Flatten()(x)))


def flops(widths: tuple[int, int]) -> int:
    """FLOPs for one image, 2 for each multiply-add: 4,881,920 for 32 and 64 channels."""
    first, second = widths
    return 2 * (26**2 * 9 * first + 11**2 * 9 * first * second + 5**2 * second * 10)


def expanded(widths: tuple[int, int], budget: int) -> tuple[int, int]:
    """Both widths times the largest factor with which they fit a budget in FLOPs."""
    graph = ChannelGraph(network(widths))
    chosen = expand(graph, dict(zip(CONVOLUTIONS, widths, strict=True)), budget).widths
    return tuple(chosen[name] for name in CONVOLUTIONS)
