"""Which frictions the explicit step 1 − α r bears, with the time steps α of a training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from phs_optimizer.optimizer import PHS

# The time step is a float32: 0.1 is a little more there, and 0.1 · 10 is not above 1.
ROUNDING = 1 + 1e-6
# Places of a schedule that are looked at first, and then around the largest of them.
PLACES, CLOSER = 256, 16


def schedule_value(schedule: LearningRateSchedule, step: int) -> float:
    """Return what a schedule says of a step."""
    return float(ops.convert_to_numpy(schedule(ops.convert_to_tensor(step, "int32"))))


def largest_time_step(
    schedule: Callable[[int], float], first: int, steps: int
) -> tuple[float, int]:
    """Return the largest α of a schedule, and the step at which it occurs.

    A schedule rises and falls over many steps. So a coarse grid finds the neighborhood of its
    maximum, and finer grids the maximum. A peak between two places of the coarse grid is missed.

    Args:
        schedule: α of a step.
        first: The first step to look at.
        steps: How many steps to look at, ≥ 1.
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


def bearable_friction(optimizer: PHS, friction: float) -> float:
    """Return a friction γ, or a smaller one where the explicit step would diverge with it.

    Args:
        optimizer: The optimizer, with its present time step α.
        friction: The friction that is wanted.

    Returns:
        ``friction`` where α r ≤ 2. Otherwise the one with α r = 1: the largest with which the
        momentum does not change its sign.
    """
    damping = optimizer.time_step() * optimizer.decay_rate(friction)
    if optimizer.friction_step == "exponential" or damping <= 2 * ROUNDING:
        return friction
    return friction / damping


def check_stable(optimizer: PHS, friction: float, steps: int, stacklevel: int) -> None:
    """Say what a friction does to the explicit step; see :meth:`PHS.check_stable`."""
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
        'friction_step="exponential", which is stable for every friction.'
    )
    if not damping <= 2 * ROUNDING:
        raise ValueError(
            f"The explicit friction step diverges: {found}; it must not be above 2. {remedy}"
        )
    warnings.warn(
        f"The explicit friction step oscillates: {found}. Above 1 the momentum changes its "
        f"sign in every step. {remedy}",
        stacklevel=stacklevel,
    )
