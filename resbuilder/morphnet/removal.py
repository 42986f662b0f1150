"""A model without some of its channels, with what they emit taken into what reads them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from resbuilder.morphnet.channels import Map, maps_without, named_layers
from resbuilder.morphnet.constants import expected_values, measured_values, shift
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.importance import magnitudes
from resbuilder.morphnet.rebuild import BUILT, fates, rebuild
from resbuilder.morphnet.steps import Step
from resbuilder.morphnet.transfer import with_weights


def without(
    graph: ChannelGraph,
    dead: np.ndarray,
    *,
    at_least: int = 0,
    images: Any = None,
) -> keras.Model:
    """The model without some channels, with what they emit folded into what reads them.

    Args:
        graph: The analysed model.
        dead: Channels to remove, bool array (size,) of ids.
        at_least: As for :func:`shrink`.
        images: A batch on which to measure what the removed channels emit; None: it is estimated
            from the weights.
    """
    dead = closed(graph, spared(graph, dead, at_least))
    kept = [~dead[ids] for ids in graph.ids]
    maps = maps_without(graph, dead)
    means = emitted(graph, dead, images)
    shifts = _shifts(graph, maps, kept, means)
    biased = {step.name for step in shifts if may_gain_bias(graph, step)}
    small = with_weights(graph, maps, rebuild(graph, maps, means, biased), biased)
    layers = dict(named_layers(small))
    for step, values in shifts.items():
        layer = layers[step.name]
        if layer.use_bias:
            # A new bias holds what its initializer gave it.
            layer.bias.assign(values if step.name in biased else layer.bias.numpy() + values)
            continue
        for reader in _normalizations(graph, step):
            mean = layers[reader.name].moving_mean
            mean.assign(mean.numpy() - values)
    return small


def emitted(graph: ChannelGraph, dead: np.ndarray, images: Any = None) -> list[np.ndarray]:
    """Mean of each channel of every tensor, float32 arrays (channels,): what takes its place.

    Args:
        graph: The analysed model.
        dead: All channels that go, bool array (size,), as :func:`closed` returns.
        images: A batch on which to measure it; None: it is estimated from the weights.
    """
    means = expected_values(graph, [~dead[ids] for ids in graph.ids])
    return means if images is None else measured_values(graph, images, means)


def spared(graph: ChannelGraph, dead: np.ndarray, at_least: int) -> np.ndarray:
    """The dead channels without those that layers need to keep ``at_least`` channels each."""
    if at_least < 0:
        raise ValueError(f"at_least must not be negative, got {at_least}")
    dead = dead.copy()
    if not at_least:
        return dead
    values = magnitudes(graph)
    for step in graph.producers():
        ids = np.unique(graph.out_ids(step))
        missing = min(at_least, len(ids)) - int((~dead[ids]).sum())
        if missing > 0:
            candidates = ids[dead[ids]]
            best = candidates[np.argsort(-values[candidates], kind="stable")]
            dead[best[:missing]] = False
    return dead


def closed(graph: ChannelGraph, dead: np.ndarray) -> np.ndarray:
    """The dead channels and those that only layers make which read nothing but dead ones."""
    dead = dead.copy()
    while True:
        living = np.zeros(graph.size, bool)
        for step in graph.steps:
            if not step.inputs or step.kind in ("opaque", "reduce"):
                living[graph.out_ids(step)] = True
            elif step.makes_channels and not dead[graph.in_ids(step)].all():
                living[graph.out_ids(step)] = True
        more = ~living & ~dead & ~graph.fixed
        if not more.any():
            return dead
        dead |= more


def _shifts(
    graph: ChannelGraph, maps: Sequence[Map], kept: list[np.ndarray], means: list[np.ndarray]
) -> dict[Step, np.ndarray]:
    """What the removed inputs of steps add to each of their outputs that stays, where not 0."""
    result = {}
    fate = fates(graph, maps)
    for n, step in enumerate(graph.steps):
        if not step.makes_channels or fate[n] != BUILT:
            continue
        removed = ~kept[step.inputs[0]]
        values = shift(step, means[step.inputs[0]], removed)[maps[n]]
        if values.any():
            if not hasattr(step.layer, "use_bias"):
                warnings.warn(
                    f"layer {step.name!r} has no use_bias, so it cannot take over what the removed "
                    "channels before it emit; the outputs change",
                    stacklevel=2,
                )
                continue
            result[step] = values
    return result


def may_gain_bias(graph: ChannelGraph, step: Step) -> bool:
    """Whether a step needs a new bias to take over what its removed inputs emit."""
    without_bias = step.makes_channels and not getattr(step.layer, "use_bias", True)
    return without_bias and not _normalizations(graph, step)


def _normalizations(graph: ChannelGraph, step: Step) -> list[Step]:
    """The batch normalizations that a step without bias hands its outputs to, if nothing else."""
    activation = getattr(step.layer, "activation", None)
    readers = graph.readers(step)
    fits = not graph.is_output(step) and all(
        isinstance(reader.layer, keras.layers.BatchNormalization) for reader in readers
    )
    linear = activation is None or activation is keras.activations.linear
    return readers if fits and linear else []
