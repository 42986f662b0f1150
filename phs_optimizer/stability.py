"""Stability of the explicit friction step for the time steps α of a training.

The explicit step multiplies the momentum by 1 − α r. It decays without oscillating if α r ≤ 1,
changes sign in every step if 1 < α r ≤ 2, and diverges if α r > 2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

# α is a float32, in which 0.1 is slightly more than 0.1; 0.1 · 10 must still count as 1.
ROUNDING = 1 + 1e-6
# Steps of a schedule to sample first, and then around the largest value found.
PLACES, CLOSER = 256, 16
# Optimizers count steps in int32.
LAST = 2**31 - 1


def schedule_value(schedule: LearningRateSchedule, step: int) -> float:
    """Return the value of a schedule at a step."""
    return float(ops.convert_to_numpy(schedule(ops.convert_to_tensor(step, "int32"))))


def largest_time_step(
    schedule: Callable[[int], float], first: int, steps: int
) -> tuple[float, int]:
    """Return the largest α of a schedule, and the step at which it occurs.

    A schedule rises and falls over many steps, so a coarse grid finds the neighborhood of its
    maximum, and finer grids find the maximum itself. A narrow peak between two points of the
    coarse grid is missed. Steps at which the schedule fails do not count: a training may be
    planned for more epochs than the schedule has, and stop before.

    Args:
        schedule: Function from a step to its α.
        first: The first step to consider.
        steps: Number of steps to consider, ≥ 1.
    """
    low, high, places = first, min(first + steps - 1, LAST), PLACES
    while True:
        gap = max(1, math.ceil((high - low) / places))
        at = sorted({*range(low, high + 1, gap), high})
        values = [_value(schedule, step) for step in at]
        best = max(range(len(at)), key=values.__getitem__)
        if gap == 1:
            return values[best], at[best]
        low, high = at[max(best - 1, 0)], at[min(best + 1, len(at) - 1)]
        places = CLOSER


def _value(schedule: Callable[[int], float], step: int) -> float:
    try:
        return schedule(step)
    except Exception:  # A schedule may be any code, and each backend has its own errors.
        return -math.inf


def stable_friction(friction: float, damping: float) -> float:
    """Return a friction γ, or a smaller one if the explicit step would diverge with it.

    Args:
        friction: The desired friction.
        damping: α r at this friction. It is proportional to the friction.

    Returns:
        ``friction`` if α r ≤ 2. Otherwise the friction with α r = 1, the largest at which the
        momentum does not change sign.
    """
    return friction if damping <= 2 * ROUNDING else friction / damping


def check_damping(friction: float, damping: float, found: str, stacklevel: int) -> None:
    """Check that the explicit step is stable.

    Args:
        friction: The friction γ.
        damping: α r at this friction.
        found: How ``damping`` follows from the optimizer's arguments, for the message.
        stacklevel: See :func:`warnings.warn`.

    Warns:
        UserWarning: If 1 < α r ≤ 2.

    Raises:
        ValueError: If α r > 2.
    """
    if damping <= ROUNDING:
        return
    remedy = (
        f"Choose friction <= {friction / damping:g}, a smaller learning_rate, or "
        'friction_step="exponential", which is stable for any friction.'
    )
    if not damping <= 2 * ROUNDING:
        raise ValueError(
            f"The explicit friction step diverges: {found}; it must not exceed 2. {remedy}"
        )
    warnings.warn(
        f"The explicit friction step oscillates: {found}. Above 1, the momentum changes sign "
        f"in every step. {remedy}",
        stacklevel=stacklevel,
    )
