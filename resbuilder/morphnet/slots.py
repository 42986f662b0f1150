"""Copying the slots of an optimizer (momenta, …) to a changed network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from resbuilder.morphnet.channels import Map, copy_by_channel


def copy_slots(
    target_optimizer: keras.optimizers.Optimizer,
    target: keras.Model,
    source_optimizer: keras.optimizers.Optimizer,
    source: keras.Model,
    pairs: Iterable[tuple[keras.Variable, keras.Variable, Mapping[int, Map]]],
) -> None:
    """Copy an optimizer's slots by channel, and its scalars except for the learning rate.

    New channels begin with 0, but averages of the weights with the weights.

    Args:
        target_optimizer: Optimizer to write to; built if necessary.
        target: Its model.
        source_optimizer: Optimizer to read from, of the same class. If it is not built, there is
            nothing to copy.
        source: Its model.
        pairs: Pairs of weights from :func:`.paired_weights`.
    """
    if not source_optimizer.built:
        return
    if not target_optimizer.built:
        target_optimizer.build(target.trainable_variables)
    new_slots, new_rest = _slots(target_optimizer, target)
    old_slots, old_rest = _slots(source_optimizer, source)
    for weight in target.trainable_variables:
        for name in _averages(target_optimizer) & new_slots.get(id(weight), {}).keys():
            # New channels begin their average with their weights. Copy, see below.
            new_slots[id(weight)][name].assign(weight.numpy())
    for new, old, axes in pairs:
        for name, slot in new_slots.get(id(new), {}).items():
            reference = old_slots.get(id(old), {}).get(name)
            if reference is not None:
                copy_by_channel(slot, reference, axes)
    for name in new_rest.keys() & old_rest.keys() - {"learning_rate"}:
        for new, old in zip(new_rest[name], old_rest[name], strict=False):
            # Only scalars: Adafactor's factored statistics do not name their weight, so they
            # start again. Copy, because a JAX training step invalidates a variable's old array.
            if len(new.shape) == 0:
                new.assign(old.numpy())


def shift_averages(model: keras.Model, weight: keras.Variable, by: np.ndarray | None) -> None:
    """Add to a weight's averages what was added to the weight, or set them to it if it is new.

    Otherwise the optimizer would write averages back that lack it.

    Args:
        model: A model, compiled or not.
        weight: One of its weights.
        by: What was added; None for a new weight.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        return
    for name, slot in _slots(optimizer, model)[0].get(id(weight), {}).items():
        if name in _averages(optimizer):
            slot.assign(weight.numpy() if by is None else slot.numpy() + by)


def _averages(optimizer: keras.optimizers.Optimizer) -> set[str]:
    """Return the names of the slots that hold averages of the weights, in units of the weights."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    schedule_free = isinstance(inner, keras.optimizers.ScheduleFreeAdamW)
    return {"average", "momentum"} if schedule_free else {"average"}


def _slots(
    optimizer: keras.optimizers.Optimizer, model: keras.Model
) -> tuple[dict[int, dict[str, keras.Variable]], dict[str, list[keras.Variable]]]:
    """Return the slots of an optimizer by weight, and its other variables by name.

    Keras names the slot of a weight after the weight's path, with "_" for "/", and the slot. Paths
    are not unique: layers with the same name in two nested models have the same path. But
    optimizers create each kind of slot in the order of the weights, so the k-th slot of a path
    belongs to its k-th weight. If the numbers of slots and weights differ, none is assigned.

    Several other variables can have the same name if the optimizer wraps another.

    Returns:
        {id of the weight: {slot name: variable}} and {name: [variable, …]}.
    """
    weights: dict[str, list[keras.Variable]] = {}
    for weight in model.trainable_variables:
        weights.setdefault(weight.path.replace("/", "_") + "_", []).append(weight)
    found: dict[tuple[str, str], list[keras.Variable]] = {}
    rest: dict[str, list[keras.Variable]] = {}
    for variable in optimizer.variables:
        fitting = [p for p in weights if variable.name.startswith(p)]
        if fitting:
            prefix = max(fitting, key=len)
            found.setdefault((prefix, variable.name.removeprefix(prefix)), []).append(variable)
        else:
            rest.setdefault(variable.name, []).append(variable)
    slots: dict[int, dict[str, keras.Variable]] = {}
    for (prefix, name), variables in found.items():
        if len(variables) == len(weights[prefix]):
            for weight, variable in zip(weights[prefix], variables, strict=True):
                slots.setdefault(id(weight), {})[name] = variable
    return slots, rest
