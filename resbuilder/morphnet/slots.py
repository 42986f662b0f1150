"""Slots of an optimizer (momenta, …) for a changed network, from the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras

from resbuilder.morphnet.channels import Map, copy_by_channel


def copy_slots(
    target_optimizer: keras.optimizers.Optimizer,
    target: keras.Model,
    source_optimizer: keras.optimizers.Optimizer,
    source: keras.Model,
    pairs: Iterable[tuple[keras.Variable, keras.Variable, Mapping[int, Map]]],
) -> None:
    """Copy what an optimizer knows of each weight, by channel, and its scalars but the rate.

    Args:
        target_optimizer: Optimizer to write to, built or not.
        target: Its model.
        source_optimizer: Optimizer to read from, of the same class. One that has not been built has
            nothing to copy.
        source: Its model.
        pairs: What :func:`.paired_weights` yields.
    """
    if not source_optimizer.built:
        return
    if not target_optimizer.built:
        target_optimizer.build(target.trainable_variables)
    new_slots, new_rest = _slots(target_optimizer, target)
    old_slots, old_rest = _slots(source_optimizer, source)
    for new, old, axes in pairs:
        for name, slot in new_slots.get(id(new), {}).items():
            reference = old_slots.get(id(old), {}).get(name)
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
) -> tuple[dict[int, dict[str, keras.Variable]], dict[str, list[keras.Variable]]]:
    """Slots of an optimizer by weight, and its other variables by name.

    Keras names the slot of a weight after the weight's path, with "_" for "/", and the slot. Paths
    are not unique: layers of the same name in two nested models have the same. But optimizers make
    each kind of slot in the order of the weights, so the k-th slot of a path belongs to its k-th
    weight. Where there are more or fewer slots than weights, none of them is assigned.

    Of the other variables there are several of one name when the optimizer wraps another.

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
