"""Inherited weights: copying weights and optimizer slots to a changed network."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from resbuilder.morphnet.channels import Map, channel_maps, copy_by_channel, paired_weights
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.slots import copy_slots


def inherit_trunk(target: keras.Model, source: keras.Model, prefix: str) -> None:
    """Copy all weights of a network into one trunk of another.

    Args:
        target: The network of an architecture with trunks beside each other.
        source: The network of one of these trunks.
        prefix: How the names of this trunk begin, see :attr:`Architecture.trunks`.
    """
    for layer in source.layers:
        if layer.weights:
            target.get_layer(prefix + layer.name).set_weights(layer.get_weights())


def inherit(
    target: keras.Model,
    source: keras.Model,
    channels: Mapping[str, Map] | None = None,
    target_optimizer: keras.optimizers.Optimizer | None = None,
    source_optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Copy the weights that two networks have in common.

    Layers are matched by name. Layers and channels that only the target has keep their weights.

    Args:
        target: Built model to write to.
        source: Built model to read from.
        channels: Int arrays for the source's convolutions and dense layers, by name. Output
            channel j of the target is the source's channel ``channels[name][j]``, or new if that
            is -1. None if all widths are equal.
        target_optimizer: Optimizer of the target; built if necessary.
        source_optimizer: Optimizer of the source, of the same class. Its slots (momenta, …) are
            copied like the weights they belong to; slots of new weights keep their initial
            values. Scalars such as ``iterations`` are copied too, except for the learning rate.
            An optimizer that is not built has nothing to copy.

    Raises:
        ValueError: If layers of the same name fit neither each other nor the channels, only one
            optimizer is given, or the optimizers have different classes.
    """
    if (target_optimizer is None) != (source_optimizer is None):
        raise ValueError("pass both target_optimizer and source_optimizer, or neither")
    if type(target_optimizer) is not type(source_optimizer):
        raise ValueError(
            "optimizer slots can only be copied between optimizers of one class, got "
            f"{type(target_optimizer).__name__} and {type(source_optimizer).__name__}"
        )
    maps = channel_maps(ChannelGraph(source), channels) if channels is not None else {}
    pairs = list(paired_weights(target, source, maps))
    for new, old, axes in pairs:
        copy_by_channel(new, old, axes)
    if target_optimizer is not None and source_optimizer is not None:
        copy_slots(target_optimizer, target, source_optimizer, source, pairs)
