"""Exact integer cost of an architecture, computed from its description alone.

One multiply-add counts as two FLOPs. As in MorphNet, only convolutions and the dense head count;
biases, normalization, activations and pooling do not. All numbers are for one image. The cost of
any Keras model, by its channels, is in :mod:`resbuilder.morphnet.resources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from resbuilder.architecture import Architecture


@dataclass(frozen=True)
class LayerCost:
    """Cost of one convolution or of the dense head."""

    name: str
    flops: int
    weights: int
    outputs: int


@dataclass(frozen=True)
class Cost:
    """Cost of a whole network for one image.

    Attributes:
        flops: Floating-point operations, 2 for each multiply-add.
        parameters: Trainable parameters (kernels, biases, γ and β of batch normalization).
        activations: Output elements of all convolutions and the dense head.
        layers: Cost of each layer.
    """

    flops: int
    parameters: int
    activations: int
    layers: tuple[LayerCost, ...]


def cost(architecture: Architecture) -> Cost:
    """Count FLOPs, parameters and activations of an architecture.

    Args:
        architecture: The architecture.

    Returns:
        The exact integer :class:`Cost` for one image.
    """
    layers = []
    normalization = biases = 0
    conv_first = architecture.block_order == "conv_bn_relu"
    for c in architecture.convolutions():
        pixels = prod(c.out_size)
        weights = c.kernel * c.kernel * c.in_channels * c.out_channels
        layers.append(LayerCost(c.name, 2 * pixels * weights, weights, pixels * c.out_channels))
        # γ and β of the batch normalization after the convolution (eq. 4.1), or before it. In
        # the order of the released code, the projection has none.
        if conv_first:
            normalization += 2 * c.out_channels
        else:
            biases += c.out_channels
            normalization += 0 if c.name.endswith("_proj") else 2 * c.in_channels
    classes, heads = architecture.classes, architecture.trunks
    for prefix, trunk in heads.items():
        features = trunk.stages[-1].width
        weights = features * classes
        layers.append(LayerCost(f"{prefix}logits", 2 * weights, weights, classes))
    return Cost(
        flops=sum(layer.flops for layer in layers),
        parameters=sum(layer.weights for layer in layers)
        + normalization
        + biases
        + classes * len(heads),
        activations=sum(layer.outputs for layer in layers),
        layers=tuple(layers),
    )
