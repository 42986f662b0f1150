"""Weights and optimizer slots for a changed network, from the one before."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from resbuilder.morphnet.channels import Map, channel_maps, copy_by_channel, paired_weights
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.slots import copy_slots


def inherit(
    target: keras.Model,
    source: keras.Model,
    channels: Mapping[str, Map] | None = None,
    target_optimizer: keras.optimizers.Optimizer | None = None,
    source_optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Copy what two networks have in common.

    Layers are matched by name. Layers that only the target has keep their fresh weights, and
    channels that only the target has keep theirs.

    Args:
        target: Built model to write to.
        source: Built model to read from.
        channels: For the source's convolutions and dense layers by name, an int array: output
            channel j of the target is the source's channel ``channels[name][j]``, or new where that
            is -1. None when no width differs.
        target_optimizer: Optimizer of the target; is built when it is not.
        source_optimizer: Optimizer of the source, of the same class. Its slots (momenta, …) are
            copied like the weights they belong to, new entries stay at the optimizer's initial
            value; scalars such as ``iterations`` are copied too, except the learning rate. One that
            has not been built has nothing to copy.

    Raises:
        ValueError: If layers of the same name do not fit each other or the channels, only one
            optimizer is given, or the optimizers are of different classes.
    """
    if (target_optimizer is None) != (source_optimizer is None):
        raise ValueError("pass both target_optimizer and source_optimizer, or neither")
    if type(target_optimizer) is not type(source_optimizer):
        raise ValueError(
            f"optimizer slots need the same class, got {type(target_optimizer).__name__} and "
            f"{type(source_optimizer).__name__}"
        )
    maps = channel_maps(ChannelGraph(source), channels) if channels is not None else {}
    pairs = list(paired_weights(target, source, maps))
    for new, old, axes in pairs:
        copy_by_channel(new, old, axes)
    if target_optimizer is not None and source_optimizer is not None:
        copy_slots(target_optimizer, target, source_optimizer, source, pairs)
