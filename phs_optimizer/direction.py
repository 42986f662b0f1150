"""Whether a higher value of a metric in Keras' logs is better."""

from __future__ import annotations

import keras

HIGHER, LOWER = "max", "min"
# Parts of the names of results that no metric of the model computes, such as a callback's.
_NAMES = {HIGHER: ("acc", "auc", "cindex"), LOWER: ("loss", "error")}


def by_name(name: str) -> str | None:
    """Return ``"max"`` or ``"min"``, whichever the name of a result in the logs suggests."""
    for direction, parts in _NAMES.items():
        if any(part in name.lower() for part in parts):
            return direction
    return None


def direction(name: str, model: keras.Model) -> str | None:
    """Return ``"max"`` if higher is better, ``"min"`` if lower is, None if nothing says so.

    Args:
        name: Name of a result in Keras' logs, with or without ``val_``.
        model: The model that is trained. Its metrics know their direction; they exist after the
            first batch.
    """
    name = name.removeprefix("val_")
    for metric in model.metrics:
        # Keras keeps the metrics given to compile() in one container.
        for part in (metric, *getattr(metric, "metrics", ())):
            # The log of a model with several outputs puts the output's name before the metric's.
            if name == part.name or name.endswith(f"_{part.name}"):
                known = getattr(part, "_direction", None)  # As Keras' EarlyStopping reads it.
                if known is not None:
                    return HIGHER if known == "up" else LOWER
    return by_name(name)
