"""The state of braking, as numbers that an optimizer can hold and a file can store."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields


@dataclass
class BrakingState:
    """State of the braking policy, as floats only, so that one variable can hold it.

    Attributes:
        braking: Number of brakings since the last acceleration: 0 while exploring, 1 while
            exploiting a minimum, possibly more with the goal ``"auto"``.
        steps: Steps of the training seen so far.
        initial_loss: Mean loss of the first steps, which relative goals refer to.
        average: Exponential moving average of the loss, started at 0 and not yet corrected for it.
        weight: Correction of the average, 1 − (1 − 1/n)^k after k steps: average / weight is
            the moving average. k restarts at an acceleration.
        ease: Share of the way to the goal that is required; 1 until it is adjusted.
        epochs: Epochs that ended in the current phase.
        minima: Minima exploited so far, including the current one.
        epoch: Index of the epoch that has begun but not ended; infinite between two epochs.
        validation: Validation result of that epoch; infinite until it is measured.
        best_validation: Best validation loss since the last acceleration.
        stale: Epochs since the validation loss was best.
        factor: Factor of each braking with ``"auto"``, which the first one settles; 0 before.
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
    factor: float = 0.0

    def to_vector(self) -> list[float]:
        """Return the numbers in the order of the attributes."""
        return list(astuple(self))

    @classmethod
    def from_vector(cls, vector) -> BrakingState:
        """Return the state that :meth:`to_vector` wrote, or a new one from a vector of zeros.

        Raises:
            ValueError: If the vector does not have one number for each attribute.
        """
        numbers = [float(number) for number in vector]
        if len(numbers) != len(fields(cls)):
            raise ValueError(
                f"a braking state has {len(fields(cls))} numbers, not {len(numbers)}: it was "
                "written by another version"
            )
        return cls(*numbers) if any(numbers) else cls()
