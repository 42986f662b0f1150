"""Channels that are not alive leave a model, and what it computes stays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

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
    """Remove the channels that are not alive, and keep what the network computes.

    A removed channel may still emit something: relu(β) behind a batch normalization, say. What it
    is expected to emit is taken into the bias of the convolutions and dense layers that read it, or
    into the moving mean of the batch normalization behind them, or a bias that is added. So

    * where a removed channel emits a constant (γ = 0, or all weights that feed it are 0), the
      outputs stay equal, except that a convolution with ``padding="same"`` reads zeros outside the
      image, not the constant: its outputs at the border differ, unless the constant is 0;
    * otherwise the outputs move by as much as the channel varies.

    A residual branch with a layer of which no channel is alive is left out; what it adds is a
    constant. Elsewhere ``at_least`` keeps a channel in such a layer.

    Args:
        model: A built functional or sequential Keras model.
        alive: Bool array (channels,) for layers by name, as
            :meth:`MorphNetRegularizer.alive` returns. Layers that share channels with a named one
            lose them too; all others keep theirs.
        at_least: Channels that every layer keeps, those of the largest kernels where fewer are
            alive. With 0, a layer without any must lie in a branch that can be left out.
        check: Images, a batch for the model's input. How far the outputs move on them is printed.
            Beyond one per cent of their spread a warning says why: channels that still vary, or
            borders.

    Returns:
        A new model with the same layer names. If the model was compiled, so is the new one, and the
        optimizer's state is taken over by channel.

    Raises:
        ValueError: If a mask does not fit its layer or another, or no channel is left of a layer
            that cannot be left out.
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
    """Ids of the channels that masks say are not alive, a bool array (size,).

    Raises:
        ValueError: If a name is unknown, a mask does not fit its layer, or masks contradict.
    """
    producers = {step.name: step for step in graph.producers()}
    dead, living = np.zeros(graph.size, bool), np.zeros(graph.size, bool)
    for name, mask in alive.items():
        if name not in producers:
            raise ValueError(
                f"a mask is given for {name!r}; the convolutions and dense layers of the model are "
                f"{', '.join(producers)}"
            )
        mask = np.asarray(mask)
        width = producers[name].out_channels
        if mask.shape != (width,) or mask.dtype != bool:
            raise ValueError(
                f"layer {name!r} has {width} channels; its mask must be a bool array of the shape "
                f"({width},), got {mask.dtype} of the shape {mask.shape}"
            )
        ids = graph.out_ids(producers[name])
        dead[ids[~mask]] = True
        living[ids[mask]] = True
        if (dead & living).any():
            raise ValueError(
                f"the mask of {name!r} contradicts that of a layer with which it shares channels "
                "(their outputs are added, or they are groups): both must keep the same ones"
            )
    return dead
