"""Whether a higher value of a result in Keras' logs is better."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import keras

from phs_optimizer import checks

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


class Watched:
    """A result on validation data by which epochs are compared.

    Args:
        name: Its name in Keras' logs, such as ``"val_loss"``.
        mode: ``"max"`` if higher values are better, ``"min"`` if lower ones are. ``"auto"`` asks
            the metric, or the name.

    Raises:
        ValueError: If ``mode`` is not one of these.
    """

    def __init__(self, name: str, mode: str):
        checks.choice("validation_mode", mode, ("auto", HIGHER, LOWER))
        self.name, self.mode = name, mode

    def sign(self, model: keras.Model) -> int:
        """Return the factor with which lower results are better, 1 or −1.

        Raises:
            ValueError: If nothing says whether higher or lower is better.
        """
        mode = direction(self.name, model) if self.mode == "auto" else self.mode
        if mode is None:
            raise ValueError(
                f"validation={self.name!r} does not say whether higher or lower is better: give "
                'validation_mode="max" or validation_mode="min"'
            )
        return -1 if mode == HIGHER else 1

    def lower_is_better(
        self, logs: Mapping, model: keras.Model, of_test: bool = False
    ) -> float | None:
        """Return the result in logs times :meth:`sign`; None if it is not there.

        Args:
            logs: Keras' logs.
            model: The model.
            of_test: Whether the logs are those of a test alone, whose names lack ``val_``.
        """
        name = self.name.removeprefix("val_") if of_test else self.name
        return self.sign(model) * float(logs[name]) if name in logs else None
