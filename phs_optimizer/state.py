"""Where braking stands, as numbers that an optimizer carries and a file keeps."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields


@dataclass
class BrakingState:
    """Where the state machine stands: numbers alone, so that an optimizer can carry them.

    Attributes:
        braking: How often the brakes have been applied since the last acceleration: 0 while
            exploring, 1 while exploiting a minimum, more with a goal that is ``"auto"``.
        steps: Steps of the training seen so far.
        initial_loss: Mean loss of the first steps; the share of the goal refers to it.
        average: Moving average of the loss, not yet corrected for its start at 0.
        weight: What the average must be divided by, 1 − (1 − 1/n)^steps.
        ease: Share of the goal that is asked for, 1 until it is adjusted.
        epochs: Epochs that ended in the present phase.
        minima: Minima exploited so far, the present one included.
        epoch: Index of the epoch that has begun and not ended; infinite between two epochs.
        validation: What was measured on validation data after it; infinite before that.
        best_validation: Best validation loss since the last acceleration.
        stale: Epochs since the validation loss was best.
    """

    braking: float = 0.0
    steps: float = 0.0
    initial_loss: float = 0.0
    average: float = 0.0
    weight: float = 0.0
    ease: float = 1.0
    epochs: float = 0.0
    minima: float = 0.0
    epoch: float = math.inf
    validation: float = math.inf
    best_validation: float = math.inf
    stale: float = 0.0

    def to_vector(self) -> list[float]:
        """Return the numbers in the order of the attributes."""
        return list(astuple(self))

    @classmethod
    def from_vector(cls, vector) -> BrakingState:
        """Return the state that :meth:`to_vector` wrote; a new one from a vector of zeros.

        Raises:
            ValueError: If the vector has another length.
        """
        numbers = [float(number) for number in vector]
        if len(numbers) != len(fields(cls)):
            raise ValueError(
                f"a braking state has {len(fields(cls))} numbers, not {len(numbers)}: it was "
                "written by another version"
            )
        return cls(*numbers) if any(numbers) else cls()
