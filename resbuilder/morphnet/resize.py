"""New Keras models with other widths and the weights of the channels that stay."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from resbuilder.morphnet.change import OutputChange, output_change
from resbuilder.morphnet.channels import (
    Map,
    copy_by_channel,
    layer_maps,
    named_layers,
    paired_weights,
    tensor_maps,
)
from resbuilder.morphnet.constants import expected_values, measured_values, shift
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.importance import magnitudes
from resbuilder.morphnet.rebuild import BUILT, fates, rebuild
from resbuilder.morphnet.slots import copy_slots


def resize(model: keras.Model, channels: Mapping[str, Map]) -> keras.Model:
    """Rebuild a model with a choice of old and new channels.

    Args:
        model: A built functional or sequential Keras model.
        channels: For convolutions and dense layers by name, an int array: new output channel j is
            the old channel ``channels[name][j]``, or freshly initialised where that is -1. Layers
            that are added to each other need the same array; naming one of them is enough.

    Returns:
        A new model with the same layer names. If the model was compiled, so is the new one, and the
        optimizer's state is taken over by channel.

    Raises:
        ValueError: If the channels do not fit the model or each other, or a layer has none left.
    """
    graph = ChannelGraph(model)
    maps = tensor_maps(graph, channels)
    for step, numbers in zip(graph.steps, maps, strict=True):
        if step.makes_channels and not len(numbers):
            raise ValueError(
                f"layer {step.name!r} would have no channel left; keep one, or use shrink, which "
                "leaves out a residual branch that is dead"
            )
    return _with_weights(graph, maps, rebuild(graph, maps))


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
        check: Images, a batch for the model's input. How far the outputs move on them is printed,
            and a warning is given beyond one per cent of their spread.

    Returns:
        A new model with the same layer names. If the model was compiled, so is the new one, and the
        optimizer's state is taken over by channel.

    Raises:
        ValueError: If a mask does not fit its layer or another, or no channel is left of a layer
            that cannot be left out.
    """
    graph = ChannelGraph(model)
    small = without(graph, dead_ids(graph, alive), at_least=at_least)
    if check is not None:
        report(output_change(model, small, check))
    return small


def report(change: OutputChange) -> None:
    """Print how far outputs moved; warn beyond one per cent of their spread."""
    print(change)
    if change.relative > 0.01:
        warnings.warn(
            f"removing channels has changed the outputs by {change.relative:.1%} of their spread: "
            "the channels that went were not dead. Train longer, lower the threshold, or train "
            "the smaller model on",
            stacklevel=3,
        )


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
    maps = tensor_maps(
        graph,
        {s.name: np.flatnonzero(~dead[graph.out_ids(s)]) for s in graph.producers()},
    )
    means = expected_values(graph, kept)
    if images is not None:
        means = measured_values(graph, images, means)
    shifts = _shifts(graph, maps, kept, means)
    consumers = graph.consumers()
    biased = {graph.steps[n].name for n in shifts if may_gain_bias(graph, n, consumers)}
    small = _with_weights(graph, maps, rebuild(graph, maps, means, biased), biased)
    layers = dict(named_layers(small))
    for n, values in shifts.items():
        step = graph.steps[n]
        layer = layers[step.name]
        if layer.use_bias:
            # A new bias holds what its initializer gave it.
            layer.bias.assign(values if step.name in biased else layer.bias.numpy() + values)
            continue
        for reader in _normalizations(graph, n, consumers):
            mean = layers[graph.steps[reader].name].moving_mean
            mean.assign(mean.numpy() - values)
    return small


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
) -> dict[int, np.ndarray]:
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
            result[n] = values
    return result


def may_gain_bias(graph: ChannelGraph, n: int, consumers: list[list[int]]) -> bool:
    """Whether a step needs a new bias to take over what its removed inputs emit.

    Args:
        graph: The analysed model.
        n: Number of the step.
        consumers: What ``graph.consumers()`` returns.
    """
    step = graph.steps[n]
    without_bias = step.makes_channels and not getattr(step.layer, "use_bias", True)
    return without_bias and not _normalizations(graph, n, consumers)


def _normalizations(graph: ChannelGraph, n: int, consumers: list[list[int]]) -> list[int]:
    """The batch normalizations that a step without bias hands its outputs to, if nothing else."""
    activation = getattr(graph.steps[n].layer, "activation", None)
    readers = consumers[n]
    fits = n not in graph.outputs and all(
        isinstance(graph.steps[r].layer, keras.layers.BatchNormalization) for r in readers
    )
    linear = activation is None or activation is keras.activations.linear
    return readers if fits and linear else []


def check_surgery(graph: ChannelGraph) -> None:
    """Rebuild the model with a channel less in every layer, to know now that it will work.

    Raises:
        ValueError: If it does not; the message names the layer.
    """
    dead = np.zeros(graph.size, bool)
    groups: dict[tuple[str, ...], list[int]] = {}
    for group in graph.width_groups():
        groups.setdefault(group.layers, []).extend(group.ids)
    for ids in groups.values():
        free = [i for i in ids if not (graph.fixed[i] or graph.mixed[i])]
        if len(free) > 1:
            dead[free[-1]] = True
    maps = tensor_maps(
        graph, {s.name: np.flatnonzero(~dead[graph.out_ids(s)]) for s in graph.producers()}
    )
    try:
        small = rebuild(graph, maps)
        layers = layer_maps(graph, maps)
        for new, old, axes in paired_weights(small, graph.model, layers):
            shape = tuple(len(axes.get(a, range(n))) for a, n in enumerate(old.shape))
            if tuple(new.shape) != shape:
                raise ValueError(
                    f"the weight {old.path} would have the shape {tuple(new.shape)}, not {shape}; "
                    "give its layer a rule of its own with register_layer"
                )
    except ValueError as error:
        raise ValueError(f"this model could not be made again with fewer channels: {error}") from (
            error
        )
    except Exception as error:
        raise ValueError(
            "this model could not be made again with fewer channels: "
            f"{type(error).__name__}: {error}"
        ) from error


def _with_weights(
    graph: ChannelGraph, maps: Sequence[Map], result: keras.Model, biased: Any = ()
) -> keras.Model:
    """Give a rebuilt model the weights, and the compilation, of the one before."""
    model = graph.model
    pairs = list(paired_weights(result, model, layer_maps(graph, list(maps)), biased))
    for new, old, axes in pairs:
        copy_by_channel(new, old, axes)
    for _, layer in named_layers(result):
        # Normalization computes with values derived from its weights.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    if getattr(model, "compiled", False):
        _compile_as(result, model)
        copy_slots(result.optimizer, result, model.optimizer, model, pairs)
    return result


def _compile_as(result: keras.Model, model: keras.Model) -> None:
    """Compile a rebuilt model like the one before, and warn of what cannot be taken over."""
    try:
        result.compile_from_config(model.get_compile_config())
    except (TypeError, ValueError):
        # A custom loss or metric that is not registered with Keras.
        pass
    if getattr(result, "optimizer", None) is not None:
        return
    # What the model was compiled with, as objects; a custom compile method may record none.
    record = getattr(getattr(model, "_compile_config", None), "config", {})
    kept = {k: v for k, v in record.items() if k not in ("optimizer", "loss") and v is not None}
    dropped = []
    for name in kept.keys() & {"metrics", "weighted_metrics"}:
        try:
            kept[name] = keras.tree.map_structure(_own_metric, kept[name])
        except (TypeError, ValueError):
            dropped.append(name)
            del kept[name]
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    try:
        result.compile(optimizer, loss=model.loss, **kept)
    except (TypeError, ValueError):
        # A custom compile method, with arguments of its own.
        dropped = [*dropped, *kept]
        result.compile(optimizer, loss=model.loss)
    if dropped:
        warnings.warn(
            f"the new model is compiled without {', '.join(sorted(dropped))}, which cannot be "
            "copied. "
            "Register losses and metrics of your own with "
            "keras.saving.register_keras_serializable, or compile the new model again",
            stacklevel=2,
        )


def _own_metric(metric: Any) -> Any:
    """The same metric with a state of its own; names and functions have none."""
    if isinstance(metric, keras.metrics.Metric):
        return type(metric).from_config(metric.get_config())
    return metric


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
