"""Which old channel each new channel of a tensor is, and copying weights accordingly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.steps import Step

#: A map: int array (new channels,) of old channel numbers, -1 for a channel that is new.
Map = np.ndarray


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What happens to the channels of one layer.

    Attributes:
        kind: Kind of the layer's :class:`Step`.
        inputs: Map of the channels it reads (from its first input).
        outputs: Map of the channels it puts out.
    """

    kind: str
    inputs: Map
    outputs: Map

    def axes(self, weight: keras.Variable) -> dict[int, Map]:
        """Map of each axis of one of the layer's weights that runs over channels."""
        last = len(weight.shape) - 1
        if last < 0:
            return {}
        if weight.name != "kernel":
            return {last: self.outputs}
        if self.kind == "depthwise":
            return {last - 1: self.inputs}
        if self.kind == "conv_transpose":
            return {last - 1: self.outputs, last: self.inputs}
        return {last - 1: self.inputs, last: self.outputs}


def channel_maps(graph: ChannelGraph, channels: Mapping[str, Map]) -> dict[str, LayerMaps]:
    """Carry a choice of output channels through a model.

    Args:
        graph: The model before the change, analysed without ``cut_flatten``.
        channels: For convolutions and dense layers by name, the map of their output channels.
            Layers that are not named keep theirs, or follow a named layer with which they share
            them all.

    Returns:
        :class:`LayerMaps` for each layer by name.

    Raises:
        ValueError: If a name is unknown, a number is not that of a channel, or tensors that are
            added would no longer fit each other.
    """
    chosen = _complete(graph, channels)
    maps: list[Map] = []
    for step in graph.steps:
        maps.append(_propagate(step, [maps[i] for i in step.inputs], chosen))
    return {
        step.name: LayerMaps(step.kind, maps[step.inputs[0]] if step.inputs else maps[n], maps[n])
        for n, step in enumerate(graph.steps)
    }


def paired_weights(
    target: keras.Model, source: keras.Model, maps: Mapping[str, LayerMaps]
) -> Iterator[tuple[keras.Variable, keras.Variable, dict[int, Map]]]:
    """Weights that two models have in common, by layer name.

    Args:
        target: Model to copy to.
        source: Model to copy from.
        maps: Channel maps by layer name; layers without are taken unchanged.

    Yields:
        (target variable, source variable, {axis: map of that axis}).

    Raises:
        ValueError: If layers of the same name are of different types or have different weights.
    """
    old_layers = {layer.name: layer for layer in source.layers}
    for new in target.layers:
        old = old_layers.get(new.name)
        if old is None:
            continue
        names = [[w.name for w in layer.weights] for layer in (new, old)]
        if type(new) is not type(old) or names[0] != names[1]:
            raise ValueError(
                f"layer {new.name!r} is {type(new).__name__} with the weights {names[0]} in one "
                f"model, {type(old).__name__} with {names[1]} in the other; give them other names"
            )
        for variable, reference in zip(new.weights, old.weights, strict=True):
            axes = maps[new.name].axes(reference) if new.name in maps else {}
            yield variable, reference, axes


def copy_by_channel(
    target: keras.Variable, source: keras.Variable, axes: Mapping[int, Map]
) -> None:
    """Copy a variable; entries of new channels keep the target's value.

    Args:
        target: Variable to write.
        source: Variable to read.
        axes: Map of each axis whose channels change; the others are taken unchanged.

    Raises:
        ValueError: If the target does not have the shape that results.
    """
    index = [axes.get(axis, np.arange(n)) for axis, n in enumerate(source.shape)]
    shape = tuple(map(len, index))
    if tuple(target.shape) != shape:
        raise ValueError(
            f"{target.path} has the shape {tuple(target.shape)}; {shape} was expected from "
            f"{tuple(source.shape)} and the channels given: name every layer whose width changed"
        )
    value = np.array(target.numpy())
    new = np.ix_(*(np.flatnonzero(i >= 0) for i in index))
    old = np.ix_(*(i[i >= 0] for i in index))
    value[new] = source.numpy()[old]
    target.assign(value)


def _complete(graph: ChannelGraph, channels: Mapping[str, Map]) -> dict[str, Map]:
    producers = {step.name: step for step in graph.producers()}
    unknown = sorted(set(channels) - set(producers))
    if unknown:
        raise ValueError(
            f"channels are given for {', '.join(unknown)}, but the convolutions and dense layers "
            f"of the model are {', '.join(producers)}"
        )
    chosen, by_ids = {}, {}
    for name, numbers in channels.items():
        width, numbers = producers[name].out_channels, np.asarray(numbers)
        if numbers.size == 0:
            numbers = numbers.astype(int)
        if (
            numbers.ndim != 1
            or numbers.dtype.kind not in "iu"
            or (numbers.size and not (-1 <= numbers.min() and numbers.max() < width))
        ):
            raise ValueError(
                f"channels of {name!r} must be a list of channel numbers from 0 to {width - 1}, or "
                f"-1 for new channels, got {numbers!r} (for a bool array use np.flatnonzero)"
            )
        chosen[name] = numbers
        by_ids[graph.out_ids(producers[name]).tobytes()] = numbers
    for name, step in producers.items():
        if name not in chosen:
            ids = graph.out_ids(step)
            chosen[name] = by_ids.get(ids.tobytes(), np.arange(len(ids)))
    return chosen


def _propagate(step: Step, inputs: list[Map], chosen: Mapping[str, Map]) -> Map:
    """Map of a step's output channels; the same cases as for the ids in graph.py."""
    if step.makes_channels:
        return chosen[step.name]
    if step.kind == "input":
        return np.arange(step.out_channels)
    widths = step.in_channels
    if step.kind == "concat":
        starts = np.cumsum([0, *widths[:-1]])
        shifted = [np.where(m < 0, -1, m + s) for m, s in zip(inputs, starts, strict=True)]
        return np.concatenate(shifted)
    repeats = step.out_channels // widths[0]
    if step.kind == "depthwise":
        old = inputs[0][:, None] * repeats + np.arange(repeats)
        return np.where(inputs[0][:, None] < 0, -1, old).ravel()
    if step.kind == "tile":
        old = inputs[0] + widths[0] * np.arange(repeats)[:, None]
        return np.where(inputs[0] < 0, -1, old).ravel()
    same = [m for m, w in zip(inputs, widths, strict=True) if w == step.out_channels]
    broadcast = [m for m, w in zip(inputs, widths, strict=True) if w != step.out_channels]
    if any(not np.array_equal(same[0], m) for m in same[1:]) or any(len(m) != 1 for m in broadcast):
        raise ValueError(
            f"the inputs of {step.name!r} would no longer fit each other: the layers before it "
            "share their channels and must keep the same ones, in the same order"
        )
    return same[0]
