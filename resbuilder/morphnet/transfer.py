"""What a rebuilt model inherits: what is frozen, weights, compilation and optimizer state."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from resbuilder.morphnet.channels import (
    Map,
    copy_by_channel,
    layer_maps,
    named_layers,
    paired_weights,
)
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.lost_arguments import lost_arguments
from resbuilder.morphnet.rules import of_keras
from resbuilder.morphnet.slots import copy_slots


def with_weights(
    graph: ChannelGraph, maps: Sequence[Map], result: keras.Model, biased: Any = ()
) -> keras.Model:
    """Copy all that a rebuilt model inherits, and return it.

    Args:
        graph: The old model.
        maps: Map of the channels of each of its tensors.
        result: The rebuilt model.
        biased: Names of layers that have a bias in the rebuilt model only.
    """
    model = graph.model
    _freeze_like(result, model)
    pairs = list(paired_weights(result, model, layer_maps(graph, list(maps)), biased))
    for new, old, axes in pairs:
        copy_by_channel(new, old, axes)
        if new.trainable != old.trainable:  # A single weight may be frozen, such as a γ.
            new.trainable = old.trainable
    for _, layer in named_layers(result):
        # A Normalization layer computes with values derived from its weights.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    if getattr(model, "compiled", False):
        _compile_as(result, model)
        _exclude_as(result.optimizer, model.optimizer, pairs)
        copy_slots(result.optimizer, result, model.optimizer, model, pairs)
    return result


def _freeze_like(new: keras.Model, old: keras.Model) -> None:
    """Make the layers of a model trainable or not as in the old one, those of nested models too."""
    if not old.trainable:
        new.trainable = False  # Freezes all that is in it, so its layers come next.
    layers = {layer.name: layer for layer in old.layers}
    for layer in new.layers:
        # A layer that the old model does not have has no weights, or a new name.
        before = layers.get(layer.name)
        if isinstance(layer, keras.Model) and isinstance(before, keras.Model):
            _freeze_like(layer, before)
        elif before is not None and layer.trainable != before.trainable:
            layer.trainable = before.trainable


def _exclude_as(new: Any, old: Any, pairs: Sequence[tuple]) -> None:
    """Exclude from weight decay what the old optimizer excludes.

    Keras does not store this in the configuration, and accepts it only for an optimizer that is
    not built yet.
    """
    new, old = (getattr(o, "inner_optimizer", o) for o in (new, old))
    if not hasattr(old, "_exclude_from_weight_decay"):
        return
    excluded = {new._var_key(n) for n, o, _ in pairs if not old._use_weight_decay(o)}
    new._exclude_from_weight_decay = excluded
    new._exclude_from_weight_decay_pattern = old._exclude_from_weight_decay_pattern
    new._exclude_from_weight_decay_cache = {}


def _compile_as(result: keras.Model, model: keras.Model) -> None:
    """Compile a rebuilt model like the old one, and warn about what cannot be copied."""
    cls = type(model)
    own_compile = not of_keras(cls.compile)
    if own_compile and not of_keras(cls.compile_from_config):
        result.compile_from_config(model.get_compile_config())
        return
    # The objects that the model was compiled with; a custom compile method may not record them.
    record = getattr(getattr(model, "_compile_config", None), "config", {})
    kept = {k: v for k, v in record.items() if k not in ("optimizer", "loss") and v is not None}
    if not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) and not own_compile:
        kept["auto_scale_loss"] = False  # Keras does not record it.
    dropped = []
    for name in kept.keys() & {"metrics", "weighted_metrics"}:
        try:
            kept[name] = keras.tree.map_structure(_own_metric, kept[name])
        except (TypeError, ValueError):
            dropped.append(name)
            del kept[name]
    optimizer = _copy(model.optimizer)
    try:
        result.compile(optimizer, loss=model.loss, **kept)
    except Exception as error:
        # A custom compile method has other arguments.
        if not own_compile:
            raise
        dropped = [*dropped, *kept]
        try:
            result.compile(optimizer, loss=model.loss)
        except Exception:
            raise ValueError(
                f"the new model cannot be compiled, because {cls.__name__} has its own compile(): "
                f"{error}. Define get_compile_config() and compile_from_config(), or give a model "
                "that is not compiled, and compile the new one"
            ) from error
    if own_compile:
        warnings.warn(
            f"{cls.__name__} has its own compile(): arguments that Keras does not know have their "
            "defaults in the new model. Compile it again, or define get_compile_config() and "
            "compile_from_config()",
            stacklevel=2,
        )
    if dropped:
        warnings.warn(
            f"the new model is compiled without {', '.join(sorted(dropped))}, which cannot be "
            "copied. Register custom losses and metrics with "
            "keras.saving.register_keras_serializable, or compile the new model again",
            stacklevel=2,
        )


def _own_metric(metric: Any) -> Any:
    """Return a copy of a metric with its own state; names and functions have none."""
    return _copy(metric) if isinstance(metric, keras.metrics.Metric) else metric


def _copy(thing: Any) -> Any:
    """Return a new optimizer or metric, and warn about arguments that it does not have."""
    if lost := lost_arguments(getattr(thing, "inner_optimizer", thing)):
        warnings.warn(
            f"{', '.join(lost)} of {type(thing).__name__} will have the default in the new model, "
            "because get_config() does not return it. Return it there too, or compile the new "
            "model again",
            stacklevel=2,
        )
    return type(thing).from_config(thing.get_config())
