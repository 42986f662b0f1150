"""Whether a higher value of a result in Keras' logs is better."""

from __future__ import annotations

import re
from collections.abc import Iterator

import keras
from keras import ops

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


def computed_by_metric(name: str, model: keras.Model) -> bool:
    """Return whether a metric has computed a result of the latest step.

    Keras always creates a metric called ``"loss"``, but a ``train_step`` of the user need not use
    it.
    """
    if sync := getattr(model, "jax_state_sync", None):
        sync()  # On JAX, the training loop holds the state of metrics.
    found = list(_metrics(name, model))
    if name == "loss":
        found = [metric for metric in found if metric.name == "loss"]
    return any(
        not hasattr(metric, "count") or float(ops.convert_to_numpy(metric.count)) > 0
        for metric in found
    )


def refuse_other_means(name: str, model: keras.Model) -> None:
    """Raise ValueError if a metric is not a mean over samples, whose steps can be told apart."""
    for metric in _metrics(name, model):
        mean = keras.metrics.Mean
        if not isinstance(metric, mean) or type(metric).result is not mean.result:
            raise ValueError(
                f"monitor={name!r} is a {type(metric).__name__}, which is not a mean over samples, "
                "so single steps cannot be told apart: give such a mean, as 'loss' or "
                "'mean_absolute_error'"
            )


def _metrics(name: str, model: keras.Model) -> Iterator[keras.metrics.Metric]:
    """Yield the metrics of a model with this name in the logs."""
    name = name.removeprefix("val_")
    for metric in model.metrics:
        # Keras keeps the metrics given to compile() in one container.
        for part in (metric, *getattr(metric, "metrics", ())):
            # The log of a model with several outputs puts the output's name before the metric's.
            if name == part.name or name.endswith(f"_{part.name}"):
                yield part
