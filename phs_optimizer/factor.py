"""The factor by which braking multiplies the friction."""

from __future__ import annotations

import math

import numpy as np

from phs_optimizer import checks, stability
from phs_optimizer.optimizer import PHS

DEFAULT = 10.0
# The largest α r at the start that leaves something to brake.
MOST_DAMPING = 0.9
# All brakings together multiply the friction, a float32, by at most this power of ten.
MOST_DIGITS = 30


class Factor:
    """The factor of each braking: a given one, or one that the first braking settles.

    With the initial rate of friction r₀ and the time step α of the first braking, the latter is
    f = (α r₀)^(−1/stages). After all stages α r₀ f^stages = 1: an explicit friction step then
    forgets the momentum at once, so the training ends in plain gradient descent.

    Args:
        given: The argument ``factor``; None for the default.
        stages: Number of brakings that follow each other.
        automatic: Whether braking has no goal. The first braking then settles the default factor.

    Attributes:
        value: The factor; NaN until it is settled.

    Raises:
        ValueError: If the given factor is out of range.
    """

    def __init__(self, given: float | None, stages: int, automatic: bool):
        self.settled_later = automatic and given is None
        self.stages = stages if automatic else 1
        if self.settled_later:
            self.value = math.nan
            return
        given = DEFAULT if given is None else given
        self.value = checks.number("factor", given, "a number > 1", lambda v: v > 1)
        if self.stages * math.log10(self.value) > MOST_DIGITS:
            raise ValueError(
                f"factor={given!r} with stages={stages!r} multiplies the friction by more than "
                f"1e{MOST_DIGITS}: give a smaller factor or fewer stages"
            )

    def check(self, optimizer: PHS, steps: int) -> None:
        """Check that there is something to brake, and that a given factor is stable.

        Args:
            optimizer: The optimizer to brake.
            steps: Number of steps to come; 0 if unknown.

        Raises:
            ValueError: If the explicit friction step would diverge; or, without a given factor,
                if α r > 0.9 from the start.
        """
        initial = optimizer.initial_friction
        if self.settled_later:
            damping = _damping(optimizer)
            if damping > MOST_DAMPING * stability.ROUNDING:
                raise ValueError(
                    f'target="auto" has no momentum to reduce: α r is {damping:g} from the start, '
                    f"as with a momentum of {1 - damping:g} in SGD. Begin with a longer memory, "
                    "as PHS.from_sgd(rate, momentum=0.95) does"
                )
            return
        hard = initial * self.value**self.stages
        try:
            optimizer.check_stable(hard, max(steps, 1))
        except ValueError as error:
            raise ValueError(
                f"braking raises the friction from {initial:g} to {hard:g}, which is too much "
                f"here. {error} Or choose a smaller factor, or begin with a longer memory, as "
                "PHS.from_sgd(rate, momentum=0.99) does."
            ) from None

    def load(self, stored: float) -> None:
        """Take the factor of a resumed training; 0 if its first braking is still to come."""
        if self.settled_later:
            self.value = stored or math.nan

    def settle(self, optimizer: PHS) -> float:
        """Return the factor, and settle it now if that has not been done yet."""
        if math.isnan(self.value):
            damping = _damping(optimizer)
            digits = -math.log10(damping) if damping > 0 else MOST_DIGITS
            # Rounded, because the state of braking holds it as a float32.
            self.value = float(np.float32(10 ** (min(max(digits, 0), MOST_DIGITS) / self.stages)))
        return self.value


def _damping(optimizer: PHS) -> float:
    """Return α r with the initial friction."""
    return optimizer.time_step() * optimizer.decay_rate(optimizer.initial_friction)
