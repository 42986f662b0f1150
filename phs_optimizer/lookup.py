"""Which optimizer of a model a callback works on."""

from __future__ import annotations

from typing import Any

import keras

from phs_optimizer.optimizer import PHS


def phs_of(model: keras.Model, asked_by: str, optimizer: Any = None) -> PHS:
    """Return the PHS optimizer of a model.

    Args:
        model: A Keras model.
        asked_by: Who needs it, for the message.
        optimizer: The optimizer, where the model has several; by default the one that the model
            was compiled with, or the only PHS in its ``MultiOptimizer``. Either may be inside the
            loss scaling of mixed precision.

    Raises:
        ValueError: If there is not exactly one, or the given one has no variables yet.
    """
    compiled = getattr(model, "optimizer", None)
    if compiled is not None and not compiled.built:
        compiled.build(model.trainable_variables)
    found = _parts(compiled if optimizer is None else optimizer)
    ours = [part for part in found if isinstance(part, PHS)]
    if len(ours) > 1:
        raise ValueError(
            f"{asked_by} works on one optimizer, and the model has {len(ours)} of PHS "
            f"({', '.join(part.name for part in ours)}): give one as optimizer="
        )
    if not ours:
        names = ", ".join(type(part).__name__ for part in found)
        raise ValueError(
            f"{asked_by} needs a model compiled with phs_optimizer.PHS, not with {names}: "
            "model.compile(optimizer=PHS(...), ...). Where a model keeps its optimizers itself, "
            "give the PHS as optimizer="
        )
    if not ours[0].built:
        raise ValueError(
            f"the optimizer {ours[0].name!r} of {asked_by} has no variables yet: call "
            "optimizer.build(WEIGHTS), with the weights that it trains, before fit(); in a "
            "MultiOptimizer, check that the map gives it weights"
        )
    return ours[0]


def _parts(optimizer: Any) -> list[Any]:
    """The optimizers in what scales a loss, or gives each weight an optimizer."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(getattr(inner, "optimizers", [inner]))
