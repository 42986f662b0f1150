"""Architectures: immutable descriptions of networks, their JSON and text, the start networks."""

from resbuilder.architecture.checks import BLOCK_ORDERS
from resbuilder.architecture.description import (
    Architecture,
    Block,
    Convolution,
    Stage,
    Stem,
    side_by_side,
)
from resbuilder.architecture.families import minimal_architecture, resnet_architecture

__all__ = [
    "BLOCK_ORDERS",
    "Architecture",
    "Block",
    "Convolution",
    "Stage",
    "Stem",
    "minimal_architecture",
    "resnet_architecture",
    "side_by_side",
]
