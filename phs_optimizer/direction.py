"""Whether a higher value of a result in Keras' logs is better."""

from __future__ import annotations

import re
from collections.abc import Iterator

import keras

HIGHER, LOWER = "max", "min"
# Names of results that no metric of the model computes, such as a callback's.
_LOWER = re.compile(r"loss|error")
_HIGHER = re.compile(r"accuracy|(^|_)(acc|auc|auroc|cindex)(_|\d|$)")


def by_name(name: str) -> str | None:
    """Return ``"max"`` or ``"min"``, whichever the name of a result in the logs suggests."""
    name = name.lower()
    if _LOWER.search(name):
        return LOWER
    return HIGHER if _HIGHER.search(name) else None


def direction(name: str, model: keras.Model) -> str | None:
    """Return ``"max"`` if higher is better, ``"min"`` if lower is, None if nothing says so.

    Args:
        name: Name of a result in Keras' logs, with or without ``val_``.
        model: The model that is trained. Its metrics know their direction; they exist after the
            first batch.
    """
    for metric in _metrics(name, model):
        known = getattr(metric, "_direction", None)  # As Keras' EarlyStopping reads it.
        if known is not None:
            return HIGHER if known == "up" else LOWER
    return by_name(name)


def is_metric(name: str, model: keras.Model) -> bool:
    """Return whether a metric of the model computes a result; they exist after the first batch."""
    return any(True for _ in _metrics(name, model))


def _metrics(name: str, model: keras.Model) -> Iterator[keras.metrics.Metric]:
    """Yield the metrics of a model with this name in the logs."""
    name = name.removeprefix("val_")
    for metric in model.metrics:
        # Keras keeps the metrics given to compile() in one container.
        for part in (metric, *getattr(metric, "metrics", ())):
            # The log of a model with several outputs puts the output's name before the metric's.
            if name == part.name or name.endswith(f"_{part.name}"):
                yield part
