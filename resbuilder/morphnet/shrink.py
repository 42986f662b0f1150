"""Removing the channels of a model that are not alive, while preserving its outputs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from resbuilder.common.words import count, some
from resbuilder.morphnet.causes import causes
from resbuilder.morphnet.change import output_change
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.removal import closed, spared, without


def shrink(
    model: keras.Model,
    alive: Mapping[str, np.ndarray],
    *,
    at_least: int = 0,
    check: Any = None,
) -> keras.Model:
    """Remove the channels that are not alive, while preserving the network's outputs.

    A removed channel may still have a nonzero output, for example relu(β) after a batch
    normalization. Its mean is folded into the layers that read it: into their bias (added if
    necessary), or into the moving mean of a batch normalization after them. Therefore

    * if a removed channel is constant (γ = 0, or all weights that feed it are 0), the outputs do
      not change, except at borders: a convolution with ``padding="same"`` reads zeros outside the
      image instead of the constant, so its outputs there differ unless the constant is 0;
    * otherwise, the outputs change as much as the channel varies.

    A residual branch is removed if one of its layers has no alive channel; what it adds is a
    constant. Outside of such branches, use ``at_least`` to keep a channel in each layer.

    Args:
        model: A built functional or sequential Keras model.
        alive: Bool arrays (channels,) for layers by name, as returned by
            :meth:`.NativeRegularizer.alive`. Layers that share channels with a named layer lose
            them too; all others keep their channels.
        at_least: Number of channels that every layer keeps: if fewer are alive, those with the
            largest kernels. With 0, a layer without alive channels must be in a branch that can
            be removed.
        check: A batch of images for the model's input. Prints how much the outputs change on
            them. If they change by more than one percent of their spread, a warning explains why:
            channels that still vary, or borders.

    Returns:
        A new model with the same layer names. If the model was compiled, the new model is compiled
        too, and inherits the optimizer's state by channel.

    Raises:
        ValueError: If a mask does not match its layer or another mask, or a layer that cannot be
            removed has no channel left.

    Warns:
        UserWarning: If ``check`` is given and the outputs change by more than one percent.
    """
    graph = ChannelGraph(model)
    dead = closed(graph, spared(graph, dead_ids(graph, alive), at_least))
    small = without(graph, dead)
    if check is not None:
        change = output_change(model, small, check)
        print(change)
        if change.relative > 0.01:
            warnings.warn(
                f"removing channels has changed the outputs by {change.relative:.1%} of their "
                f"spread: {causes(graph, dead, small, check)}",
                stacklevel=2,
            )
    return small


def dead_ids(graph: ChannelGraph, alive: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the ids of channels that are not alive according to masks, a bool array (size,).

    Raises:
        ValueError: If a name is unknown, a mask does not match its layer, two masks contradict each
            other, or a channel cannot be removed without a change of the outputs.
    """
    producers = {step.name: step for step in graph.producers()}
    dead, living = np.zeros(graph.size, bool), np.zeros(graph.size, bool)
    for name, mask in alive.items():
        if name not in producers:
            raise ValueError(
                f"a mask is given for the unknown layer {name!r}; the convolutions and dense "
                f"layers of the model are {', '.join(producers)}"
            )
        mask = np.asarray(mask)
        width = producers[name].out_channels
        if mask.shape != (width,) or mask.dtype != bool:
            raise ValueError(
                f"layer {name!r} has {width} channels, so its mask must be a bool array of shape "
                f"({width},), got {mask.dtype} of shape {mask.shape}"
            )
        ids = graph.out_ids(producers[name])
        dead[ids[~mask]] = True
        living[ids[mask]] = True
        if (dead & living).any():
            raise ValueError(
                f"the mask of {name!r} contradicts that of a layer with which it shares channels "
                "(their outputs are added, or they are groups): both must keep the same channels"
            )
        for of, why in (
            (graph.mixed, "a later layer combines, as a layer normalization or a softmax does"),
            (graph.fixed, "are outputs of the model, or whose number is given from outside"),
        ):
            if (numbers := np.flatnonzero((dead & of)[ids])).size:
                raise ValueError(
                    f"the mask of {name!r} removes {count(len(numbers), 'channel')} "
                    f"({some(map(str, numbers))}) that {why}: without them, the outputs would "
                    "change. Keep them, or choose other widths with resize"
                )
    return dead
