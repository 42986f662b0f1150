"""Removing channels from a model, with their mean outputs folded into the layers that read them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np

from resbuilder.morphnet.channels import Map, maps_without, named_layers
from resbuilder.morphnet.constants import expected_values, measured_values, shift
from resbuilder.morphnet.fates import BUILT, fates
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.importance import magnitudes
from resbuilder.morphnet.layer_call import LayerCall
from resbuilder.morphnet.rebuild import rebuild
from resbuilder.morphnet.slots import shift_averages
from resbuilder.morphnet.transfer import with_weights


def without(
    graph: ChannelGraph,
    dead: np.ndarray,
    *,
    images: Any = None,
) -> keras.Model:
    """Return the model without some channels, with their mean outputs folded into its weights.

    Args:
        graph: The analyzed model.
        dead: Channels to remove, bool array (size,) of ids.
        images: A batch on which to measure the means; None estimates them from the weights.
    """
    dead = closed(graph, dead)
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
            new = step.name in biased  # It has random values, so do not add to it.
            layer.bias.assign(values if new else layer.bias.numpy() + values)
            shift_averages(small, layer.bias, None if new else values)
            continue
        # A normalization subtracts its mean, so the outputs lack `values` on both sides.
        for reader in _normalizations(graph, step):
            mean = layers[reader.name].moving_mean
            mean.assign(mean.numpy() - values)
    return small


def emitted(graph: ChannelGraph, dead: np.ndarray, images: Any = None) -> list[np.ndarray]:
    """Return the mean of each channel of every tensor, float32 arrays (channels,).

    Args:
        graph: The analyzed model.
        dead: All removed channels, bool array (size,), as returned by :func:`closed`.
        images: A batch on which to measure the means; None estimates them from the weights.
    """
    means = expected_values(graph, [~dead[ids] for ids in graph.ids])
    return means if images is None else measured_values(graph, images, means)


def check_at_least(at_least: int) -> None:
    """Raise ValueError if ``at_least`` is not a number of channels."""
    if not isinstance(at_least, Integral) or at_least < 0:
        raise ValueError(f"at_least must be a whole number >= 0, got {at_least!r}")


def spared(graph: ChannelGraph, dead: np.ndarray, at_least: int) -> np.ndarray:
    """Return the dead channels except those that layers need to keep ``at_least`` channels.

    A layer with too few alive channels keeps the dead ones with the largest kernels.
    """
    check_at_least(at_least)
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
    """Return the dead channels, and all channels that depend only on dead ones.

    Channels that a layer combines stay, because removing one would change the others.
    """
    dead = dead.copy()
    while True:
        living = np.zeros(graph.size, bool)
        for step in graph.steps:
            if not step.inputs or step.kind in ("opaque", "reduce"):
                living[graph.out_ids(step)] = True
            elif step.makes_channels and not dead[graph.in_ids(step)].all():
                living[graph.out_ids(step)] = True
        more = ~living & ~dead & ~graph.fixed & ~graph.mixed
        if not more.any():
            return dead
        dead |= more


def _shifts(
    graph: ChannelGraph, maps: Sequence[Map], kept: list[np.ndarray], means: list[np.ndarray]
) -> dict[LayerCall, np.ndarray]:
    """Return what the removed inputs of each step add to its remaining outputs, if not all 0."""
    result = {}
    fate = fates(graph, maps)
    for n, step in enumerate(graph.steps):
        if not step.makes_channels or fate[n] != BUILT:
            continue
        removed = ~kept[step.inputs[0]]
        values = shift(step, means[step.inputs[0]], removed)[maps[n]]
        if not np.isfinite(values).all():
            raise ValueError(
                f"the mean outputs of removed channels that layer {step.name!r} reads are not "
                "finite. They were estimated from the weights, for pixels with mean 0 and standard "
                "deviation 1; measure them on images instead, prune(..., data=images)"
            )
        if values.any():
            if not hasattr(step.layer, "use_bias"):
                warnings.warn(
                    f"layer {step.name!r} has no use_bias, so the mean outputs of removed channels "
                    "cannot be folded into it; the outputs change",
                    stacklevel=2,
                )
                continue
            result[step] = values
    return result


def may_gain_bias(graph: ChannelGraph, step: LayerCall) -> bool:
    """Return whether a step needs a new bias to absorb the means of its removed inputs."""
    without_bias = step.makes_channels and not getattr(step.layer, "use_bias", True)
    return without_bias and not _normalizations(graph, step)


def _normalizations(graph: ChannelGraph, step: LayerCall) -> list[LayerCall]:
    """Return the batch normalizations after a step without bias, if only they read its outputs."""
    activation = getattr(step.layer, "activation", None)
    readers = graph.readers(step)
    fits = not graph.is_output(step) and all(
        isinstance(reader.layer, keras.layers.BatchNormalization) for reader in readers
    )
    linear = activation is None or activation is keras.activations.linear
    return readers if fits and linear else []
