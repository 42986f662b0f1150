"""The arithmetic of one step, on each backend and in each precision."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

# Weights of these types get float32 momenta: in bfloat16, 1 − α r rounds to 1 for α r < 0.002.
LOW_PRECISION = ("float16", "bfloat16")


class Coefficients(NamedTuple):
    """The factors of one step, the same for all weights: numbers on torch, tensors elsewhere.

    Attributes:
        keep: Share of the momentum that friction leaves: 1 − α r, or exp(−α r).
        force: Factor s α of the gradient, with s from the step schedule.
        drift: Factor α/m of the momentum that moves a weight.
    """

    keep: Any
    force: Any
    drift: Any


def coefficients(
    time_step: Any, rate: Any, mass: float, force_scale: Any, explicit: bool
) -> Coefficients:
    """Return the factors of a step.

    Args:
        time_step: The time step α, a number or a tensor, as are ``rate`` and ``force_scale``.
        rate: The rate r at which friction reduces the momentum.
        mass: The mass m.
        force_scale: The factor s by which a step schedule multiplies the force. None without one.
        explicit: Whether the friction step is 1 − α r, not exp(−α r).
    """
    damping = time_step * rate
    exp = math.exp if isinstance(damping, float) else ops.exp
    keep = 1 - damping if explicit else exp(-damping)
    force = time_step if force_scale is None else time_step * force_scale
    return Coefficients(keep, force, time_step / mass)


def move(
    optimizer: keras.optimizers.Optimizer,
    weight: keras.Variable,
    momentum: keras.Variable,
    gradient: Any,
    factors: Coefficients,
    momentum_first: bool,
) -> None:
    """Update one weight and its momentum, in either order."""
    keep, force, drift = (ops.cast(factor, momentum.dtype) for factor in factors)
    gradient = ops.cast(gradient, momentum.dtype)
    if not momentum_first:
        _add(optimizer, weight, drift, momentum)
    optimizer.assign(momentum, ops.multiply(momentum, keep))
    _add(optimizer, momentum, -force, gradient)
    if momentum_first:
        _add(optimizer, weight, drift, momentum)


def move_all(
    weights: list[keras.Variable],
    momenta: list[keras.Variable],
    gradients: list[Any],
    factors: Coefficients,
    momentum_first: bool,
) -> None:
    """Update all weights and momenta at once, on torch."""
    import torch

    with torch.no_grad():
        w, p = [v.value for v in weights], [v.value for v in momenta]
        if not momentum_first:
            torch._foreach_add_(w, p, alpha=factors.drift)
        torch._foreach_mul_(p, factors.keep)
        torch._foreach_add_(p, gradients, alpha=-factors.force)
        if momentum_first:
            torch._foreach_add_(w, p, alpha=factors.drift)


def _add(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable, factor: Any, tensor: Any
) -> None:
    """Add ``factor * tensor`` to a variable, on TensorFlow without storing the product."""
    if is_low_precision(variable):  # round once, after the sum
        moved = ops.add(ops.cast(variable, "float32"), ops.multiply(tensor, factor))
        optimizer.assign(variable, ops.cast(moved, variable.dtype))
        return
    if keras.backend.backend() != "tensorflow" or hasattr(tensor, "indices"):  # sparse
        optimizer.assign_add(variable, ops.multiply(tensor, factor))
        return
    import tensorflow as tf

    variable = variable.value if isinstance(variable, keras.Variable) else variable
    tf.raw_ops.ResourceApplyGradientDescent(
        var=variable.handle, alpha=-factor, delta=ops.convert_to_tensor(tensor)
    )


def dtype_of(variable: Any) -> str:
    """Return the name of a variable's type, such as "float32"."""
    return keras.backend.standardize_dtype(variable.dtype)


def is_low_precision(variable: Any) -> bool:
    """Return whether momenta and steps of a weight need more precision than it has itself."""
    return dtype_of(variable) in LOW_PRECISION
