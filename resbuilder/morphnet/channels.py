"""Maps from new to old channels of every tensor, and copying weights by them.

A map m of a tensor is an int array (new channels,): its new channel j is the old channel m[j], or
a new one if m[j] = −1. The maps of producers (convolutions, dense layers) are chosen; all others
follow, so that each new tensor is the old one restricted to its surviving channels:

    keep, mix   the map that all inputs have in common
    concat      the maps of the inputs, each shifted by the channels before it
    tile        p·C + m[c] at index p·C′ + c, for each position p (Flatten; C old, C′ new channels)
    untile      the map that all positions have in common
    depthwise   outputs g·n … g·n + n − 1 for each surviving group g of n outputs
    slice       positions within the slice of its channels that survive

Invariant: for a kernel with the maps i and o of its inputs and outputs, the new weight is
W′[…, a, b] = W[…, i[a], o[b]] where both are ≥ 0; all others keep their initial values. The same
holds for every axis of every weight that runs over channels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall
from resbuilder.morphnet.rules import ChannelRule, Map


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """Maps of the channels of one layer.

    Attributes:
        rule: The layer's :class:`.ChannelRule`.
        inputs: Map of the channels that its kernel reads (from its first input).
        outputs: Map of its output channels.
        first: Map of the layer's own input channels. It differs from ``inputs`` only for a
            separable convolution, whose pointwise kernel reads the depthwise outputs.
        width: Number of its old output channels.
    """

    rule: ChannelRule
    inputs: Map
    outputs: Map
    first: Map
    width: int

    def axes(self, weight: keras.Variable) -> dict[int, Map]:
        """Return the map of each axis of a weight of the layer that runs over channels."""
        rank = len(weight.shape)
        if not rank:
            return {}
        named = self.rule.axes.get(weight.name)
        if named is None and weight.name == "kernel":
            named = _KERNELS.get(self.rule.kind)
        if named is None:
            # A weight that all channels share, as in PReLU(shared_axes=[1, 2, 3]), has none.
            named = {-1: "outputs"} if weight.shape[-1] == self.width else {}
        return {axis % rank: getattr(self, which) for axis, which in named.items()}


_KERNELS = {
    "depthwise": {-2: "inputs"},
    **dict.fromkeys(("conv", "dense"), {-2: "inputs", -1: "outputs"}),
}


def tensor_maps(graph: ChannelGraph, channels: Mapping[str, Map]) -> list[Map]:
    """Propagate a choice of output channels through a model.

    Args:
        graph: The model before the change, analyzed without ``cut_flatten``.
        channels: Maps of the output channels of convolutions and dense layers, by name. A layer
            that is not named keeps its channels, or follows a named layer with which it shares
            all of them.

    Returns:
        The map of the output channels of each step.

    Raises:
        ValueError: If a name is unknown, a channel number does not exist, or tensors that are
            added would no longer match.
    """
    chosen = _maps_of_producers(graph, channels)
    maps: list[Map] = []
    for step in graph.steps:
        maps.append(_output_map(step, [maps[i] for i in step.inputs], chosen))
    return maps


def maps_without(graph: ChannelGraph, dead: np.ndarray) -> list[Map]:
    """Return the map of each step's output channels after removing the dead ones.

    Args:
        graph: The model before the change.
        dead: Bool array (size,) of ids.

    Raises:
        ValueError: If a group of channels that a layer needs as a whole would be split.
    """
    return tensor_maps(
        graph, {s.name: np.flatnonzero(~dead[graph.out_ids(s)]) for s in graph.producers()}
    )


def layer_maps(graph: ChannelGraph, maps: list[Map]) -> dict[str, LayerMaps]:
    """Return :class:`LayerMaps` for each layer by name, from the maps of all tensors."""
    result: dict[str, LayerMaps] = {}
    for n, step in enumerate(graph.steps):
        read = maps[step.inputs[0]] if step.inputs else maps[n]
        name = step.name.removesuffix("/depthwise") if step.rule.kind == "separable" else step.name
        first = result[name].first if name in result and step.rule.kind == "separable" else read
        result[name] = LayerMaps(step.rule, read, maps[n], first, step.out_channels)
    return result


def channel_maps(graph: ChannelGraph, channels: Mapping[str, Map]) -> dict[str, LayerMaps]:
    """Return :class:`LayerMaps` by layer name for a choice of channels, see :func:`tensor_maps`."""
    return layer_maps(graph, tensor_maps(graph, channels))


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield the layers of a model and of nested models, with their names in a ChannelGraph."""
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
    """Yield the weights that two models have in common, by layer name.

    Args:
        target: Model to copy to.
        source: Model to copy from.
        maps: Channel maps by layer name. Layers without a map are copied unchanged.
        added: Names of layers that have a bias in the target only.

    Yields:
        (target variable, source variable, {axis: map of that axis}).

    Raises:
        ValueError: If layers with the same name have different types or different weights.
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
                f"model, but {type(old).__name__} with {names[1]} in the other; give the layers "
                "different names"
            )
        for variable, reference in zip(variables, old.weights, strict=True):
            axes = maps[name].axes(reference) if name in maps else {}
            yield variable, reference, axes


def _own_name(weight: keras.Variable) -> str:
    """Return a weight's name, without the number that Keras gives to unnamed weights."""
    return re.sub(r"^variable_\d+$", "variable", weight.name)


def copy_by_channel(
    target: keras.Variable, source: keras.Variable, axes: Mapping[int, Map]
) -> None:
    """Copy a variable by channel; entries of new channels keep the target's values.

    Args:
        target: Variable to write.
        source: Variable to read.
        axes: Map of each axis whose channels change; all other axes are copied unchanged.

    Raises:
        ValueError: If the target does not have the resulting shape.
    """
    index = [axes.get(axis, np.arange(n)) for axis, n in enumerate(source.shape)]
    shape = tuple(map(len, index))
    if tuple(target.shape) != shape:
        raise ValueError(
            f"{target.path} has the shape {tuple(target.shape)}, but copying the given channels "
            f"of {tuple(source.shape)} needs {shape}: name every layer whose width changed"
        )
    value = np.array(target.numpy())
    new = np.ix_(*(np.flatnonzero(i >= 0) for i in index))
    old = np.ix_(*(i[i >= 0] for i in index))
    value[new] = source.numpy()[old]
    target.assign(value)


def _maps_of_producers(graph: ChannelGraph, channels: Mapping[str, Map]) -> dict[str, Map]:
    """Return the map of every convolution and dense layer from those that were given."""
    producers = {step.name: step for step in graph.producers()}
    unknown = sorted(set(channels) - set(producers))
    if unknown:
        raise ValueError(
            f"channels are given for unknown layers {', '.join(unknown)}; the convolutions and "
            f"dense layers of the model are {', '.join(producers)}"
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
                f"-1 for new channels, got {numbers!r} (convert a bool array with np.flatnonzero)"
            )
        chosen[name] = numbers
        by_ids[graph.out_ids(producers[name]).tobytes()] = numbers
    for name, step in producers.items():
        if name not in chosen:
            ids = graph.out_ids(step)
            chosen[name] = by_ids.get(ids.tobytes(), np.arange(len(ids)))
    return chosen


def _output_map(step: LayerCall, inputs: list[Map], chosen: Mapping[str, Map]) -> Map:
    """Return the map of a step's output channels; graph.py has the same cases for ids."""
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
            f"the inputs of {step.name!r} would no longer match: the layers before it share "
            "their channels and must keep the same ones, in the same order"
        )
    return same[0]


def _whole_groups(step: LayerCall, channels: Map) -> Map:
    """Return the old numbers of the groups in a map of channels, (groups,); -1 for a new group."""
    members = step.in_channels[0] // step.groups
    if len(channels) % members == 0:
        rows = channels.reshape(-1, members)
        new = (rows < 0).all(axis=1)
        whole = rows[:, :1] // members * members + np.arange(members)
        if (new | (rows == whole).all(axis=1)).all():
            return np.where(new, -1, rows[:, 0] // members)
    raise ValueError(
        f"{step.name!r} works on groups of {members} channels; keep or remove each group as a "
        "whole, and keep the order of its channels"
    )


def _gathered(step: LayerCall, channels: Map) -> Map:
    """Return the map after a reshape that gathers the positions that Flatten laid out."""
    width = step.out_channels
    rows = step.in_channels[0] // width
    if len(channels) % rows == 0:
        old = channels.reshape(rows, -1)
        if (old >= 0).all() and (old - width * np.arange(rows)[:, None] == old[0]).all():
            return old[0]
    raise ValueError(
        f"{step.name!r} reshapes its input to {rows} positions of {width} channels; the layers "
        "before it must keep the same channels at each position, and cannot get new ones"
    )


def _sliced(step: LayerCall, channels: Map) -> Map:
    """Return the map of a slice, in numbers of the slice's own channels."""
    assert step.index is not None
    own = np.full(step.in_channels[0], -1)
    own[step.index] = np.arange(len(step.index))
    if (channels < 0).any():
        raise ValueError(f"{step.name!r} slices its input, which cannot get new channels")
    found = own[channels]
    found = found[found >= 0]
    return found[::-1] if len(step.index) > 1 and step.index[0] > step.index[-1] else found
