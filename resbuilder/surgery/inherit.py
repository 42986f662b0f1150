"""Weights and optimizer slots for a changed network, from the one before."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from resbuilder.morphnet.channels import Map, channel_maps, copy_by_channel, paired_weights
from resbuilder.morphnet.graph import ChannelGraph


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
    if target_optimizer is not None and source_optimizer is not None and source_optimizer.built:
        if not target_optimizer.built:
            target_optimizer.build(target.trainable_variables)
        _copy_optimizer(target_optimizer, target, source_optimizer, source, pairs)


def _copy_optimizer(
    target_optimizer: keras.optimizers.Optimizer,
    target: keras.Model,
    source_optimizer: keras.optimizers.Optimizer,
    source: keras.Model,
    pairs: list[tuple[keras.Variable, keras.Variable, dict[int, Map]]],
) -> None:
    new_slots, new_rest = _slots(target_optimizer, target)
    old_slots, old_rest = _slots(source_optimizer, source)
    for new, old, axes in pairs:
        for name, slot in new_slots.get(new.path, {}).items():
            reference = old_slots.get(old.path, {}).get(name)
            if reference is not None:
                copy_by_channel(slot, reference, axes)
    for name in new_rest.keys() & old_rest.keys() - {"learning_rate"}:
        for new, old in zip(new_rest[name], old_rest[name], strict=False):
            # Adafactor's factored statistics do not name their weight; they start fresh. A copy,
            # because JAX gives up a variable's array when a training step updates it.
            if len(new.shape) == 0:
                new.assign(old.numpy())


def _slots(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> tuple[dict[str, dict[str, keras.Variable]], dict[str, list[keras.Variable]]]:
    """Slots of an optimizer by weight, and its other variables by name.

    Keras names the slot of a weight after the weight's path, with "_" for "/", and the slot. Of the
    other variables there are several of one name when the optimizer wraps another.

    Returns:
        {path of the weight: {slot name: variable}} and {name: [variable, …]}.
    """
    prefixes = {w.path.replace("/", "_") + "_": w.path for w in model.trainable_variables}
    slots: dict[str, dict] = {}
    rest: dict[str, list] = {}
    for variable in optimizer.variables:
        fitting = [p for p in prefixes if variable.name.startswith(p)]
        if fitting:
            prefix = max(fitting, key=len)
            slots.setdefault(prefixes[prefix], {})[variable.name.removeprefix(prefix)] = variable
        else:
            rest.setdefault(variable.name, []).append(variable)
    return slots, rest
