"""Stability of the explicit friction step for the time steps α of a training.

The explicit step multiplies the momentum by 1 − α r. It decays without oscillating if α r ≤ 1,
changes sign in every step if 1 < α r ≤ 2, and diverges if α r > 2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from phs_optimizer.optimizer import PHS

# α is a float32, in which 0.1 is slightly more than 0.1; 0.1 · 10 must still count as 1.
ROUNDING = 1 + 1e-6
# Steps of a schedule to sample first, and then around the largest value found.
PLACES, CLOSER = 256, 16


def schedule_value(schedule: LearningRateSchedule, step: int) -> float:
    """Return the value of a schedule at a step."""
    return float(ops.convert_to_numpy(schedule(ops.convert_to_tensor(step, "int32"))))


def largest_time_step(
    schedule: Callable[[int], float], first: int, steps: int
) -> tuple[float, int]:
    """Return the largest α of a schedule, and the step at which it occurs.

    A schedule rises and falls over many steps, so a coarse grid finds the neighborhood of its
    maximum, and finer grids find the maximum itself. A narrow peak between two points of the
    coarse grid is missed.

    Args:
        schedule: Function from a step to its α.
        first: The first step to consider.
        steps: Number of steps to consider, ≥ 1.
    """
    low, high, places = first, first + steps - 1, PLACES
    while True:
        gap = max(1, math.ceil((high - low) / places))
        at = sorted({*range(low, high + 1, gap), high})
        values = [schedule(step) for step in at]
        best = max(range(len(at)), key=values.__getitem__)
        if gap == 1:
            return values[best], at[best]
        low, high = at[max(best - 1, 0)], at[min(best + 1, len(at) - 1)]
        places = CLOSER


def stable_friction(optimizer: PHS, friction: float) -> float:
    """Return the friction γ, or a smaller one if the explicit step would diverge with it.

    Args:
        optimizer: The optimizer, with its current time step α.
        friction: The desired friction.

    Returns:
        ``friction`` if α r ≤ 2. Otherwise the friction with α r = 1, the largest at which the
        momentum does not change sign.
    """
    damping = optimizer.time_step() * optimizer.decay_rate(friction)
    if optimizer.friction_step == "exponential" or damping <= 2 * ROUNDING:
        return friction
    return friction / damping


def check_stable(optimizer: PHS, friction: float, steps: int, stacklevel: int) -> None:
    """Check that the explicit step stays stable; see :meth:`PHS.check_stable`."""
    if optimizer.friction_step == "exponential":
        return
    step, when = optimizer.time_step(), ""
    if (schedule := optimizer.time_step_schedule()) is not None and steps > 1:
        first = optimizer.steps_taken()
        step, place = largest_time_step(lambda at: schedule_value(schedule, at), first, steps)
        when = f", the largest of its schedule, at step {place}"
    damping = step * optimizer.decay_rate(friction)
    if damping <= ROUNDING:
        return
    formula = "αγ/m" if optimizer.friction_form == "viscous" else "αγ"
    found = (
        f"{formula} = {damping:g} with learning_rate (α) {step:g}{when}, friction (γ) {friction:g}"
        f" and mass (m) {optimizer.mass:g}"
    )
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
