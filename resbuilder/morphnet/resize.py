"""New Keras models with other widths and the weights of the channels that stay."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from resbuilder.morphnet.channels import Map, channel_maps, copy_by_channel, paired_weights
from resbuilder.morphnet.graph import ChannelGraph


def resize(model: keras.Model, channels: Mapping[str, Map]) -> keras.Model:
    """Rebuild a model with a choice of old and new channels.

    Args:
        model: A built functional or sequential Keras model.
        channels: For convolutions and dense layers by name, an int array: new output channel j is
            the old channel ``channels[name][j]``, or freshly initialised where that is -1. Layers
            that are added to each other need the same array; naming one of them is enough.

    Returns:
        A new model with the same layer names; compiled if the model was, with a fresh optimizer.

    Raises:
        ValueError: If the channels do not fit the model or each other, or a layer has none left.
    """
    graph = ChannelGraph(model)
    maps = channel_maps(graph, channels)
    for step in graph.producers():
        if not len(maps[step.name].outputs):
            raise ValueError(
                f"layer {step.name!r} would have no channel left; remove its block instead"
            )

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        width = len(maps[layer.name].outputs)
        if maps[layer.name].kind in ("conv", "conv_transpose"):
            config["filters"] = width
        elif maps[layer.name].kind == "dense":
            config["units"] = width
        elif "target_shape" in config:
            config["target_shape"] = (*layer.target_shape[:-1], width)
        return type(layer).from_config(config)

    result = keras.models.clone_model(model, clone_function=clone)
    for new, old, axes in paired_weights(result, model, maps):
        copy_by_channel(new, old, axes)
    for layer in result.layers:
        # Normalization computes with values derived from its weights.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return result


def shrink(model: keras.Model, alive: Mapping[str, np.ndarray]) -> keras.Model:
    """Remove the channels that are not alive.

    The outputs stay equal when the removed channels were zero and the layers behind them map zero
    to zero (no bias, β = 0, or a ReLU over a negative one).

    Args:
        model: A built functional Keras model.
        alive: Bool array (channels,) for layers by name, as
            :meth:`MorphNetRegularizer.alive` returns.

    Returns:
        A new model, as :func:`resize`.

    Raises:
        ValueError: As :func:`resize`.
    """
    return resize(model, {name: np.flatnonzero(mask) for name, mask in alive.items()})


def expand_model(model: keras.Model, widths: Mapping[str, int]) -> keras.Model:
    """Widen layers with freshly initialised channels.

    Args:
        model: A built functional Keras model.
        widths: New width of layers by name, as in :attr:`Expansion.widths`; not below the old one.

    Returns:
        A new model, as :func:`resize`. Old channels keep their weights and their order.

    Raises:
        ValueError: If a width is below that of the model, or as :func:`resize`.
    """
    return resize(model, widened(ChannelGraph(model), widths))


def widened(graph: ChannelGraph, widths: Mapping[str, int]) -> dict[str, Map]:
    """The channels, for :func:`resize` and ``inherit``, that widen layers.

    Where a layer's channels belong to several width groups (its output is added to a
    concatenation), each group grows at its own end.

    Args:
        graph: The model before.
        widths: New width of layers by name.

    Returns:
        Map of output channels for each layer named.
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
    return result
