"""Resizing a Keras model: a copy with other widths that inherits the channels that stay."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from resbuilder.morphnet.channels import Map, tensor_maps
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.rebuild import rebuild
from resbuilder.morphnet.transfer import with_weights


def resize(model: keras.Model, channels: Mapping[str, Map]) -> keras.Model:
    """Rebuild a model with a choice of old and new channels.

    Args:
        model: A built functional or sequential Keras model.
        channels: Int arrays for convolutions and dense layers, by name. New output channel j is
            the old channel ``channels[name][j]``, or has random weights if that is -1. Layers
            whose outputs are added need the same array; naming one of them is enough.

    Returns:
        A new model with the same layer names. If the model was compiled, the new model is compiled
        too, and inherits the optimizer's state by channel.

    Raises:
        ValueError: If the channels do not match the model or each other, or a layer has none left.
    """
    graph = ChannelGraph(model)
    maps = tensor_maps(graph, channels)
    for step, numbers in zip(graph.steps, maps, strict=True):
        if step.makes_channels and not len(numbers):
            raise ValueError(
                f"layer {step.name!r} would have no channel left; keep one, or use shrink, which "
                "can remove a dead residual branch"
            )
    return with_weights(graph, maps, rebuild(graph, maps))


def expand_model(model: keras.Model, widths: Mapping[str, int]) -> keras.Model:
    """Widen layers by channels with random weights.

    Args:
        model: A built functional or sequential Keras model.
        widths: New widths of layers by name, as in :attr:`Expansion.widths`; at least the old ones.

    Returns:
        A new model, as from :func:`resize`. Old channels keep their weights and their order.

    Raises:
        ValueError: If a width is smaller than the model's, or as for :func:`resize`.
    """
    return resize(model, widened(ChannelGraph(model), widths))


def widened(graph: ChannelGraph, widths: Mapping[str, int]) -> dict[str, Map]:
    """Return channels that widen layers, as :func:`resize` and ``inherit`` take them.

    If a layer's channels belong to several width groups (because its output is added to a
    concatenation), each group grows at its own end.

    Args:
        graph: The old model.
        widths: New widths of layers by name.

    Returns:
        Map of output channels for each named layer.

    Raises:
        ValueError: If a width is smaller than the old one, or contradicts those of layers with
            which the layer shares channels.
    """
    groups = graph.width_groups()
    group_of = np.zeros(graph.size, int)
    for n, group in enumerate(groups):
        group_of[group.ids] = n
    producers = {step.name: group_of[graph.out_ids(step)] for step in graph.producers()}
    added = {}
    for name, width in widths.items():
        of = producers.get(name)
        if of is not None and (of == of[0]).all():
            added[of[0]] = width - len(of)
            if width < len(of):
                raise ValueError(
                    f"layer {name!r} has {len(of)} channels and cannot be widened to {width}; "
                    "use shrink"
                )
    result = {}
    for name in widths:
        of = producers.get(name, np.zeros(0, int))
        runs = np.split(np.arange(len(of)), np.flatnonzero(np.diff(of)) + 1)
        result[name] = np.concatenate(
            [np.append(run, [-1] * added.get(of[run[0]], 0)) for run in runs if len(run)]
            or [np.zeros(0)]
        ).astype(int)
        if len(of) and len(result[name]) != widths[name]:
            raise ValueError(
                f"layer {name!r} would get {len(result[name])} channels instead of {widths[name]}, "
                "because it shares them with other layers; give the widths of all these layers, "
                "so that they match"
            )
    return result
