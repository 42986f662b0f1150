"""The optimizer of a model that a callback works on, and its friction."""

from __future__ import annotations

from typing import Any

import keras

from phs_optimizer.optimizer import PHS


def friction_of(optimizer: PHS) -> float:
    """Return the current friction of an optimizer as a number."""
    return float(keras.ops.convert_to_numpy(optimizer.friction))


def phs_of(model: keras.Model, asked_by: str, optimizer: Any = None) -> PHS:
    """Return the PHS optimizer of a model.

    The optimizer is built unless layers of the model have no weights yet. Keras on TensorFlow
    creates those in the first step, and then builds the optimizer itself.

    Args:
        model: A Keras model.
        asked_by: Name of the callback that needs it, for the message.
        optimizer: The optimizer to use if the model has several. By default the one that the
            model was compiled with, or the only PHS in its ``MultiOptimizer``. Either may be
            wrapped in the ``LossScaleOptimizer`` of mixed precision.

    Raises:
        ValueError: If there is not exactly one PHS optimizer, or it has no variables yet.
    """
    compiled = getattr(model, "optimizer", None)
    if compiled is not None and not compiled.built and _has_weights(model):
        compiled.build(model.trainable_variables)
    found = _parts(compiled if optimizer is None else optimizer)
    ours = [part for part in found if isinstance(part, PHS)]
    if len(ours) > 1:
        raise ValueError(
            f"{asked_by} works on one optimizer, but the model has {len(ours)} PHS optimizers "
            f"({', '.join(part.name for part in ours)}): pass one as optimizer"
        )
    if not ours:
        names = ", ".join(type(part).__name__ for part in found)
        raise ValueError(
            f"{asked_by} needs a model compiled with phs_optimizer.PHS, not with {names}: call "
            "model.compile(optimizer=PHS(...), ...). If a model keeps its optimizers itself, "
            f"pass the PHS to {asked_by} as optimizer"
        )
    if not ours[0].built and (_has_weights(model) or ours[0] not in _parts(compiled)):
        raise ValueError(
            f"the optimizer {ours[0].name!r} of {asked_by} has no variables yet: call "
            "optimizer.build(WEIGHTS) with the weights that it trains before fit(). In a "
            "MultiOptimizer, check that the map assigns weights to it"
        )
    return ours[0]


def _has_weights(model: keras.Model) -> bool:
    """Return whether all layers have created their weights."""
    return all(layer.built for layer in model._flatten_layers())


def _parts(optimizer: Any) -> list[Any]:
    """Return the optimizers inside a ``LossScaleOptimizer`` or a ``MultiOptimizer``."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(getattr(inner, "optimizers", [inner]))
