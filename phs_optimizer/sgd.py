"""The settings of stochastic gradient descent, as those of a body with mass and friction."""

from __future__ import annotations

from typing import Any

from keras.optimizers.schedules import LearningRateSchedule

from phs_optimizer import checks

# Arguments of PHS that follow from SGD's learning rate and momentum.
SETTLED = {"mass", "friction", "friction_form", "friction_step", "step_schedule"}


def as_phs(
    learning_rate: float | LearningRateSchedule, momentum: float, time_step: float, options: dict
) -> dict[str, Any]:
    """Return the arguments with which PHS moves as SGD does.

    In terms of v = (α/m) p, PHS' step is v ← (1 − α r) v − (α²/m) g. SGD has the momentum 1 − α r
    and the learning rate α²/m.

    Args:
        learning_rate: SGD's learning rate > 0, or a schedule of it.
        momentum: SGD's momentum, from 0 to 1.
        time_step: α > 0.
        options: Other arguments of PHS, with SGD's ``weight_decay``.

    Raises:
        ValueError: If a value is out of range, or an option follows from the two settings.
    """
    momentum = checks.number("momentum", momentum, "from 0 to 1", lambda v: 0 <= v <= 1)
    alpha = checks.number("time_step", time_step, "a number > 0", lambda v: v > 0)
    if given := sorted(SETTLED & options.keys()):
        raise ValueError(
            f"from_sgd got {', '.join(given)}, which follow from learning_rate and momentum: "
            "leave them out, or pass all arguments to PHS itself"
        )
    schedule, rate = None, 1.0
    if isinstance(learning_rate, LearningRateSchedule):
        schedule = learning_rate
    else:
        rate = checks.number("learning_rate", learning_rate, "a number > 0", lambda v: v > 0)
    arguments = options | {
        "learning_rate": alpha,
        "mass": alpha**2 / rate,
        "friction": (1 - momentum) / alpha,
        "friction_form": "rate",
        "step_schedule": schedule,
    }
    if (decay := options.get("weight_decay")) is not None:
        checks.number("weight_decay", decay, "a number >= 0", lambda v: v >= 0)
        # Keras multiplies the decay by the optimizer's learning rate: here α, in SGD `rate`.
        arguments["weight_decay"] = decay * rate / alpha
    return arguments
