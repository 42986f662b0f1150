"""MorphNet on Keras models: which channels to keep, how wide to be, and models rebuilt to match."""

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.native import NativeRegularizer
from resbuilder.morphnet.regularizer import MorphNetRegularizer
from resbuilder.morphnet.resize import expand_model, resize, shrink, widened
from resbuilder.morphnet.widths import Expansion, expand

__all__ = [
    "ChannelGraph",
    "Expansion",
    "MorphNetRegularizer",
    "NativeRegularizer",
    "expand",
    "expand_model",
    "resize",
    "shrink",
    "widened",
]
