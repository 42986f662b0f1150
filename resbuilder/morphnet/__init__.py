"""MorphNet for Keras models: choosing channels and widths, and rebuilding models to match."""

from resbuilder.morphnet.change import OutputChange, output_change
from resbuilder.morphnet.gradual import GradualPruning
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.native import NativeRegularizer
from resbuilder.morphnet.prune import PruningSummary, prune, recalibrate, summarize
from resbuilder.morphnet.regularizer import MorphNetRegularizer
from resbuilder.morphnet.resize import expand_model, resize, widened
from resbuilder.morphnet.rules import ChannelRule, register_layer
from resbuilder.morphnet.shrink import shrink
from resbuilder.morphnet.widths import Expansion, expand

__all__ = [
    "ChannelGraph",
    "ChannelRule",
    "Expansion",
    "GradualPruning",
    "MorphNetRegularizer",
    "NativeRegularizer",
    "OutputChange",
    "PruningSummary",
    "expand",
    "expand_model",
    "output_change",
    "prune",
    "recalibrate",
    "register_layer",
    "resize",
    "shrink",
    "summarize",
    "widened",
]
