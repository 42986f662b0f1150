"""Exact cost of an architecture, in integers, from its description alone.

One multiply-add counts as two FLOPs. Convolutions and the dense head count; additions of a bias,
normalisation, activation and pooling do not, as in MorphNet. All figures are for one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from resbuilder.architecture import Architecture

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """Cost of one convolution or of the dense head."""

    name: str
    flops: int
    weights: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Cost:
    """Cost of a whole network for one image.

    Attributes:
        flops: Floating-point operations, 2 for each multiply-add.
        parameters: Trainable parameters (kernels, biases, batch normalisation's γ and β).
        activations: Elements that convolutions and the dense head put out.
        layers: The same, layer by layer.
    """

    flops: int
    parameters: int
    activations: int
    layers: tuple[LayerCost, ...]

    def latency(self, peak_flops: float, bandwidth: float) -> float:
        """Roofline estimate in seconds for float32.

        Each layer takes the longer of computing and of moving its inputs, outputs and weights.

        Args:
            peak_flops: Peak rate of the device in FLOP/s.
            bandwidth: Memory bandwidth of the device in bytes/s.
        """
        if peak_flops <= 0 or bandwidth <= 0:
            raise ValueError(
                f"peak_flops and bandwidth must be positive, got {peak_flops} and {bandwidth}"
            )
        return sum(
            max(
                layer.flops / peak_flops,
                FLOAT_BYTES * (layer.inputs + layer.outputs + layer.weights) / bandwidth,
            )
            for layer in self.layers
        )


def cost(architecture: Architecture) -> Cost:
    """Count FLOPs, parameters and activations of an architecture.

    Args:
        architecture: What to count.

    Returns:
        The exact integer :class:`Cost` for one image.
    """
    layers = []
    normalisation = biases = 0
    conv_first = architecture.block_order == "conv_bn_relu"
    for c in architecture.convolutions():
        pixels = prod(c.out_size)
        weights = c.kernel * c.kernel * c.in_channels * c.out_channels
        inputs = prod(c.in_size) * c.in_channels
        layers.append(
            LayerCost(c.name, 2 * pixels * weights, weights, inputs, pixels * c.out_channels)
        )
        # γ and β of the batch normalisation after the convolution (eq. 4.1), or before it; the
        # projection of the released code's order stands alone.
        if conv_first:
            normalisation += 2 * c.out_channels
        else:
            biases += c.out_channels
            normalisation += 0 if c.name.endswith("_proj") else 2 * c.in_channels
    features, classes = architecture.stages[-1].width, architecture.classes
    layers.append(
        LayerCost("logits", 2 * features * classes, features * classes, features, classes)
    )
    return Cost(
        flops=sum(layer.flops for layer in layers),
        parameters=sum(layer.weights for layer in layers) + normalisation + biases + classes,
        activations=sum(layer.outputs for layer in layers),
        layers=tuple(layers),
    )
