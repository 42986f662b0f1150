"""The factor by which braking multiplies the friction."""

from __future__ import annotations

import math

from phs_optimizer import checks
from phs_optimizer.optimizer import PHS

FACTOR = 10.0
# All brakings together multiply the friction, a float32, by at most this power of ten.
MOST_DIGITS = 30


def given_factor(factor: float | None, stages: int, automatic: bool) -> float | None:
    """Return the factor that an argument asks for; None if the optimizer decides.

    Args:
        factor: The argument ``factor``.
        stages: Number of brakings.
        automatic: Whether there is no goal.

    Raises:
        ValueError: If the factor is out of range.
    """
    if factor is None:
        return None if automatic else FACTOR
    factor = checks.number("factor", factor, "a number > 1", lambda v: v > 1)
    if stages * math.log10(factor) > MOST_DIGITS:
        raise ValueError(
            f"factor={factor!r} with stages={stages!r} multiplies the friction by more than "
            f"1e{MOST_DIGITS}: give a smaller factor or fewer stages"
        )
    return factor


def factor_to_descent(optimizer: PHS, stages: int, steps: int) -> float:
    """Return the factor with which the last of some brakings ends in plain gradient descent.

    With r₀ the initial rate of friction and α the largest time step, the momentum is forgotten
    in a single step once α r = 1. So the factor is f = (α r₀)^(−1/stages): then α r₀ f^stages = 1.

    Args:
        optimizer: A built optimizer.
        stages: Number of brakings.
        steps: Steps of the whole training, for the largest α of a schedule.

    Raises:
        ValueError: If the momentum is already as short as that.
    """
    step, _ = optimizer.largest_time_step(0, steps)
    damping = step * optimizer.decay_rate(optimizer.initial_friction)
    if damping >= 1:
        raise ValueError(
            f'target="auto" brakes until α r = 1, but α r is {damping:g} from the start. Begin '
            "with a longer memory, as PHS.from_sgd(rate, momentum=0.95) does, or give factor"
        )
    return damping ** (-1 / stages)
