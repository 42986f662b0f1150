"""Architecture search that grows and prunes residual networks to a FLOPs budget."""

from resbuilder.architecture import Architecture, minimal_architecture, resnet_architecture
from resbuilder.cost import Cost, cost
from resbuilder.model import build_model

__all__ = [
    "Architecture",
    "Cost",
    "build_model",
    "cost",
    "minimal_architecture",
    "resnet_architecture",
]
