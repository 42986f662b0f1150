"""The result on validation data that braking compares between epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.direction import HIGHER, LOWER, direction


class Watched:
    """A result on validation data by which epochs are compared.

    Args:
        name: Its name in Keras' logs, such as ``"val_loss"``.
        mode: ``"max"`` if higher values are better, ``"min"`` if lower ones are. ``"auto"`` asks
            the metric, or the name.
        needed_by: The options of the callback that need this result after every epoch.

    Raises:
        ValueError: If ``mode`` is not one of these.
    """

    def __init__(self, name: str, mode: str, needed_by: Sequence[str]):
        checks.choice("validation_mode", mode, ("auto", HIGHER, LOWER))
        self.name, self.mode, self.needed_by = name, mode, needed_by

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

    def of_test(self, logs: Mapping, model: keras.Model) -> float | None:
        """Return the result of a test, whose logs lack ``val_``; None if it is not there.

        Returns:
            The result times :meth:`sign`: lower is better.
        """
        return self._find(self.name.removeprefix("val_"), logs, model)

    def of_epoch(self, logs: Mapping, model: keras.Model, tested: bool) -> float | None:
        """Return the result of an epoch, or None if it was not validated.

        Args:
            logs: Keras' logs at the end of the epoch.
            model: The model.
            tested: Whether ``fit`` validated the model in this epoch.

        Returns:
            The result times :meth:`sign`: lower is better.

        Raises:
            ValueError: If other results on validation data exist, but not this one, or if an
                option needs it.
        """
        found = self._find(self.name, logs, model)
        if found is not None:
            return found
        others = sorted(name for name in logs if name.startswith("val_"))
        # In an epoch without validation, another callback may still log results of its own.
        if others and tested:
            raise ValueError(
                f"validation={self.name!r} is not in Keras' logs, which have "
                f"{', '.join(others)}: give one of these, or give compile() the metric; if another "
                "callback logs it, put that one first in the list"
            )
        if self.needed_by:
            raise ValueError(
                f"{self.needed_by[0]} watches {self.name!r}, which is not in Keras' logs: give "
                "fit() validation_data or validation_split, validate after every epoch, and give "
                "compile() the metric"
            )
        return None

    def _find(self, name: str, logs: Mapping, model: keras.Model) -> float | None:
        # The state of braking holds it as a float32: equal results must not count as better.
        return self.sign(model) * float(np.float32(logs[name])) if name in logs else None
