"""Which old channel each new channel of a tensor is, and copying weights accordingly."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.rules import ChannelRule, Map
from resbuilder.morphnet.steps import Step


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What happens to the channels of one layer.

    Attributes:
        rule: The layer's :class:`.ChannelRule`.
        inputs: Map of the channels that its kernel reads (from its first input).
        outputs: Map of the channels it puts out.
        first: For a separable convolution, map of the channels that it reads itself.
    """

    rule: ChannelRule
    inputs: Map
    outputs: Map
    first: Map

    def axes(self, weight: keras.Variable) -> dict[int, Map]:
        """Map of each axis of one of the layer's weights that runs over channels."""
        rank = len(weight.shape)
        if not rank:
            return {}
        named = self.rule.axes.get(weight.name)
        if named is None and weight.name == "kernel":
            named = _KERNELS.get(self.rule.kind)
        if named is None:
            named = {-1: "outputs"}
        return {axis % rank: getattr(self, which) for axis, which in named.items()}


_KERNELS = {
    "depthwise": {-2: "inputs"},
    **dict.fromkeys(("conv", "dense"), {-2: "inputs", -1: "outputs"}),
}


def tensor_maps(graph: ChannelGraph, channels: Mapping[str, Map]) -> list[Map]:
    """Carry a choice of output channels through a model.

    Args:
        graph: The model before the change, analysed without ``cut_flatten``.
        channels: For convolutions and dense layers by name, the map of their output channels.
            Layers that are not named keep theirs, or follow a named layer with which they share
            them all.

    Returns:
        The map of the output channels of each step.

    Raises:
        ValueError: If a name is unknown, a number is not that of a channel, or tensors that are
            added would no longer fit each other.
    """
    chosen = _complete(graph, channels)
    maps: list[Map] = []
    for step in graph.steps:
        maps.append(_propagate(step, [maps[i] for i in step.inputs], chosen))
    return maps


def maps_without(graph: ChannelGraph, dead: np.ndarray) -> list[Map]:
    """The map of each step's output channels when those that are dead leave.

    Args:
        graph: The model before the change.
        dead: Bool array (size,) of ids.

    Raises:
        ValueError: If what a layer needs whole, such as a group of channels, would not stay whole.
    """
    return tensor_maps(
        graph, {s.name: np.flatnonzero(~dead[graph.out_ids(s)]) for s in graph.producers()}
    )


def layer_maps(graph: ChannelGraph, maps: list[Map]) -> dict[str, LayerMaps]:
    """:class:`LayerMaps` for each layer by name, from the maps of all tensors."""
    result: dict[str, LayerMaps] = {}
    for n, step in enumerate(graph.steps):
        read = maps[step.inputs[0]] if step.inputs else maps[n]
        name = step.name.removesuffix("/depthwise") if step.rule.kind == "separable" else step.name
        first = result[name].first if name in result and step.rule.kind == "separable" else read
        result[name] = LayerMaps(step.rule, read, maps[n], first)
    return result


def channel_maps(graph: ChannelGraph, channels: Mapping[str, Map]) -> dict[str, LayerMaps]:
    """:class:`LayerMaps` for each layer by name, from a choice of channels: :func:`tensor_maps`."""
    return layer_maps(graph, tensor_maps(graph, channels))


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Layers of a model and of the models inside it, with their names as in a ChannelGraph."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def paired_weights(
    target: keras.Model,
    source: keras.Model,
    maps: Mapping[str, LayerMaps],
    added: Collection[str] = (),
) -> Iterator[tuple[keras.Variable, keras.Variable, dict[int, Map]]]:
    """Weights that two models have in common, by layer name.

    Args:
        target: Model to copy to.
        source: Model to copy from.
        maps: Channel maps by layer name; layers without are taken unchanged.
        added: Names of layers that have a bias in the target alone.

    Yields:
        (target variable, source variable, {axis: map of that axis}).

    Raises:
        ValueError: If layers of the same name are of different types or have different weights.
    """
    old_layers = dict(named_layers(source))
    for name, new in named_layers(target):
        old = old_layers.get(name)
        if old is None or not (new.weights or old.weights):
            continue
        variables = [w for w in new.weights if not (name in added and w.name == "bias")]
        names = [[_own_name(w) for w in weights] for weights in (variables, old.weights)]
        if type(new) is not type(old) or names[0] != names[1]:
            raise ValueError(
                f"layer {name!r} is {type(new).__name__} with the weights {names[0]} in one "
                f"model, {type(old).__name__} with {names[1]} in the other; give them other names"
            )
        for variable, reference in zip(variables, old.weights, strict=True):
            axes = maps[name].axes(reference) if name in maps else {}
            yield variable, reference, axes


def _own_name(weight: keras.Variable) -> str:
    """A weight's name; those that were given none are numbered by Keras, over all models."""
    return re.sub(r"^variable_\d+$", "variable", weight.name)


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
    if step.kind in ("input", "opaque", "reduce"):
        return np.arange(step.out_channels)
    widths = step.in_channels
    if step.kind == "concat":
        starts = np.cumsum([0, *widths[:-1]])
        shifted = [np.where(m < 0, -1, m + s) for m, s in zip(inputs, starts, strict=True)]
        return np.concatenate(shifted)
    repeats = step.out_channels // widths[0]
    if step.kind == "depthwise":
        groups = _whole_groups(step, inputs[0])
        repeats = step.out_channels // step.groups
        old = groups[:, None] * repeats + np.arange(repeats)
        return np.where(groups[:, None] < 0, -1, old).ravel()
    if step.kind == "tile":
        old = inputs[0] + widths[0] * np.arange(repeats)[:, None]
        return np.where(inputs[0] < 0, -1, old).ravel()
    if step.kind == "untile":
        return _gathered(step, inputs[0])
    if step.kind == "slice":
        return _sliced(step, inputs[0])
    if step.normalizes and step.kind == "keep" and step.groups > 1:
        _whole_groups(step, inputs[0])
    same = [m for m, w in zip(inputs, widths, strict=True) if w == step.out_channels]
    broadcast = [m for m, w in zip(inputs, widths, strict=True) if w != step.out_channels]
    if any(not np.array_equal(same[0], m) for m in same[1:]) or any(len(m) != 1 for m in broadcast):
        raise ValueError(
            f"the inputs of {step.name!r} would no longer fit each other: the layers before it "
            "share their channels and must keep the same ones, in the same order"
        )
    return same[0]


def _whole_groups(step: Step, channels: Map) -> Map:
    """Old numbers of the groups that a map of channels consists of, (groups,); -1 for a new one."""
    members = step.in_channels[0] // step.groups
    if len(channels) % members == 0:
        rows = channels.reshape(-1, members)
        new = (rows < 0).all(axis=1)
        whole = rows[:, :1] // members * members + np.arange(members)
        if (new | (rows == whole).all(axis=1)).all():
            return np.where(new, -1, rows[:, 0] // members)
    raise ValueError(
        f"{step.name!r} works on groups of {members} channels, which must stay or go whole, in "
        "their order"
    )


def _gathered(step: Step, channels: Map) -> Map:
    """Map of what a reshape makes of positions laid side by side."""
    width = step.out_channels
    rows = step.in_channels[0] // width
    if len(channels) % rows == 0:
        old = channels.reshape(rows, -1)
        if (old >= 0).all() and (old - width * np.arange(rows)[:, None] == old[0]).all():
            return old[0]
    raise ValueError(
        f"{step.name!r} lays {rows} positions of {width} channels out; the layers before it must "
        "keep the same channels at each position, and cannot get new ones"
    )


def _sliced(step: Step, channels: Map) -> Map:
    """Map of a slice: where the channels that it takes went, in terms of its own channels."""
    assert step.index is not None
    own = np.full(step.in_channels[0], -1)
    own[step.index] = np.arange(len(step.index))
    if (channels < 0).any():
        raise ValueError(f"{step.name!r} takes a slice of channels, which cannot get new ones")
    found = own[channels]
    found = found[found >= 0]
    return found[::-1] if len(step.index) > 1 and step.index[0] > step.index[-1] else found
