"""The port-Hamiltonian optimizer: a body with mass and friction in the landscape of the loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import fields
from numbers import Real
from typing import Any

import keras
from keras import ops

from phs_optimizer import checks
from phs_optimizer.policy import BrakingState

UPDATE_ORDERS = ("momentum_first", "weights_first")
FRICTION_FORMS = ("viscous", "rate")
FRICTION_STEPS = ("explicit", "exponential")


@keras.saving.register_keras_serializable("phs_optimizer")
class PHS(keras.optimizers.Optimizer):
    r"""Port-Hamiltonian stochastic gradient descent: heavy ball with mass, friction and energy.

    The weights w are the position and p the momentum of a body with energy
    H = ‖p‖²/(2m) + L(w). With friction γ, mass m and the gradient g of the loss,

        dw/dt = p / m,    dp/dt = −r p − g,    r = γ/m ("viscous") or γ ("rate").

    A step of length α (``learning_rate``) is, with ``update_order="momentum_first"``
    (thesis eqs. 2.14 and 2.15; p on the right is the new momentum),

        p ← (1 − α r) p − α g
        w ← w + (α/m) p

    and with ``"weights_first"`` (eq. 3.2) the weights move with the old momentum. With
    v = (α/m) p the default is ``keras.optimizers.SGD(learning_rate=α²/m, momentum=1 − α r)``; a
    long run moves like plain gradient descent with the step α/(m r).

    The explicit factor 1 − α r changes sign in every step where α r > 1, and diverges where
    α r > 2. ``friction_step="exponential"`` puts exp(−α r) in its place, which is stable for
    every friction; the gradient's part is the same in both.

    The friction is a variable: :class:`phs_optimizer.GoalOrientedBraking` multiplies it in the
    middle of a training, a user may assign ``optimizer.friction``, and a saved model has it.

    Args:
        learning_rate: Time step α > 0, or a ``keras.optimizers.schedules.LearningRateSchedule``,
            or a callable without arguments.
        mass: Mass m > 0. Each step moves the weights by α/m times the momentum.
        friction: Friction γ ≥ 0 to begin with. 0 conserves energy and does not converge.
        update_order: ``"momentum_first"`` (eqs. 2.14, 2.15) or ``"weights_first"`` (eq. 3.2).
        friction_form: How γ is read: ``"viscous"``, r = γ/m, as the thesis prints it; or
            ``"rate"``, r = γ, with which every row of its tables is stable.
        friction_step: ``"explicit"`` (1 − α r) or ``"exponential"`` (exp(−α r)).
        initial_momentum: p₀, for every weight: a number, or a Keras initializer or its name.
        weight_decay: As for every Keras optimizer, and so are all the arguments that follow.
        clipnorm: See ``keras.optimizers.SGD``.
        clipvalue: See ``keras.optimizers.SGD``.
        global_clipnorm: See ``keras.optimizers.SGD``.
        use_ema: See ``keras.optimizers.SGD``.
        ema_momentum: See ``keras.optimizers.SGD``.
        ema_overwrite_frequency: See ``keras.optimizers.SGD``.
        loss_scale_factor: See ``keras.optimizers.SGD``.
        gradient_accumulation_steps: See ``keras.optimizers.SGD``.
        name: Name of the optimizer.
        **kwargs: Nothing else is allowed; a name that is not known is an error that says so.

    Raises:
        ValueError: A value that is not finite or out of its range, an unknown option, or an
            explicit friction step that diverges (α r > 2) with the first α of a schedule; what
            comes later only :class:`phs_optimizer.GoalOrientedBraking` asks, at each epoch.

    Example:
        >>> model.compile(PHS(learning_rate=1e-4, mass=1e-3, friction=10, friction_form="rate"),
        ...               "sparse_categorical_crossentropy")

    References:
        J. Burghoff, dissertation, Wuppertal 2023, sec. 2.2.4 and ch. 3;
        J. Burghoff, M. H. Monells, H. Gottschalk, arXiv 2304.07070.
    """

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule
        | Callable[[], float] = 0.1,
        mass: float = 1.0,
        friction: float = 1.0,
        update_order: str = "momentum_first",
        friction_form: str = "viscous",
        friction_step: str = "explicit",
        initial_momentum: float | str | keras.initializers.Initializer = 0.0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str = "phs",
        **kwargs: Any,
    ):
        checks.no_unknown("PHS", kwargs, type(self).__init__)
        mass = checks.number("mass", mass, "a number > 0", lambda v: v > 0)
        friction = checks.number("friction", friction, "a number >= 0", lambda v: v >= 0)
        checks.choice("update_order", update_order, UPDATE_ORDERS)
        checks.choice("friction_form", friction_form, FRICTION_FORMS)
        checks.choice("friction_step", friction_step, FRICTION_STEPS)
        if not callable(learning_rate):
            learning_rate = checks.number(
                "learning_rate", learning_rate, "a number > 0", lambda v: v > 0
            )
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.mass = mass
        self.initial_friction = friction
        self.update_order = update_order
        self.friction_form = friction_form
        self.friction_step = friction_step
        self.initial_momentum = _initializer(initial_momentum)
        self._friction: keras.Variable | None = None
        self.check_stable(friction)

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates one momentum for each weight, the friction and the state of braking."""
        if self.built:
            return
        if self.gradient_accumulation_steps and _replicas() > 1:
            raise ValueError(
                "Keras cannot accumulate gradients under tf.distribute: the devices would wait for "
                "each other within a condition. Leave gradient_accumulation_steps out and give a "
                "larger batch, which the devices divide among them"
            )
        super().build(variables)
        # A clone for each, as one unseeded initializer draws the same numbers in every call.
        self.momenta = [
            self.add_optimizer_variables([v], "momentum", self.initial_momentum.clone())[0]
            for v in variables
        ]
        self._friction = self.add_variable(
            (),
            keras.initializers.Constant(self.initial_friction),
            "float32",
            aggregation="only_first_replica",
            name="friction",
        )
        # What a braking callback must know to go on from a saved model.
        self.braking_state = self.add_variable(
            (len(fields(BrakingState)),),
            "zeros",
            "float32",
            aggregation="only_first_replica",
            name="braking_state",
        )

    @property
    def friction(self) -> float | keras.Variable:
        """Friction γ at present: a scalar variable once built, before that the initial number."""
        return self.initial_friction if self._friction is None else self._friction

    @friction.setter
    def friction(self, value: float) -> None:
        value = checks.number("friction", value, "a number >= 0", lambda v: v >= 0)
        self.check_stable(value)
        if self._friction is None:
            self.initial_friction = value
        else:
            self._friction.assign(value)

    def decay_rate(self, friction: Any) -> Any:
        """The rate r at which friction alone would take the momentum away: γ/m or γ."""
        return friction / self.mass if self.friction_form == "viscous" else friction

    def check_stable(self, friction: float) -> None:
        """Says what a friction does to the explicit step with the present time step α.

        Args:
            friction: The friction γ that is used, or would be used after braking.

        Warns:
            UserWarning: If 1 < α r ≤ 2: the momentum changes its sign in every step.

        Raises:
            ValueError: If α r > 2: the momentum grows in every step.
        """
        if self.friction_step == "exponential":
            return
        # Not in a traced step, where the time step is a tensor without a value.
        step = float(ops.convert_to_numpy(self.learning_rate))
        # The time step is a float32: 0.1 is a little more there, and 0.1 · 10 is not above 1.
        product = step * self.decay_rate(friction) / (1 + 1e-6)
        if product <= 1:
            return
        formula = "αγ/m" if self.friction_form == "viscous" else "αγ"
        found = (
            f"{formula} = {product:g} with learning_rate (α) {step:g}, friction (γ) {friction:g}"
            f" and mass (m) {self.mass:g}"
        )
        remedy = (
            f"Choose friction <= {friction / product:g}, a smaller learning_rate, or "
            'friction_step="exponential", which is stable for every friction.'
        )
        if product > 2 or not math.isfinite(product):
            raise ValueError(
                f"The explicit friction step diverges: {found}; it must not be above 2. {remedy}"
            )
        warnings.warn(
            f"The explicit friction step oscillates: {found}. Above 1 the momentum changes its "
            f"sign in every step. {remedy}",
            stacklevel=3,
        )

    def _clip_gradients(self, grads):
        """Clips the gradient of the whole batch; Keras would clip that of each device's part."""
        replicas = _replicas()
        clipping = (self.clipnorm, self.clipvalue, self.global_clipnorm)
        if replicas == 1 or not any(clipping):
            return super()._clip_gradients(grads)
        import tensorflow as tf

        whole = tf.distribute.get_replica_context().all_reduce("SUM", list(grads))
        # What follows sums over devices, and each has all of it.
        return [ops.multiply(g, 1 / replicas) for g in super()._clip_gradients(whole)]

    def update_step(
        self, gradient: Any, variable: keras.Variable, coefficients: tuple[Any, Any, Any]
    ) -> None:
        """One step of one weight; see the class for the equations.

        Args:
            gradient: Gradient g of the weight.
            variable: The weight w.
            coefficients: Share of the momentum that friction leaves, α, and α/m.
        """
        momentum = self.momenta[self._get_variable_index(variable)]
        keep, step, drift = (ops.cast(number, variable.dtype) for number in coefficients)
        gradient = ops.cast(gradient, variable.dtype)
        if self.update_order == "weights_first":
            self._add(variable, drift, momentum)
        self.assign(momentum, ops.multiply(momentum, keep))
        self._add(momentum, -step, gradient)
        if self.update_order == "momentum_first":
            self._add(variable, drift, momentum)

    def _add(self, variable, factor, tensor):
        """``variable += factor * tensor``, on TensorFlow without an array for the product."""
        if keras.backend.backend() != "tensorflow" or hasattr(tensor, "indices"):  # sparse
            self.assign_add(variable, ops.multiply(tensor, factor))
            return
        import tensorflow as tf

        variable = variable.value if isinstance(variable, keras.Variable) else variable
        tf.raw_ops.ResourceApplyGradientDescent(
            var=variable.handle, alpha=-factor, delta=ops.convert_to_tensor(tensor)
        )

    def _coefficients(self, learning_rate, friction):
        """The share of the momentum that friction leaves, α, and α/m; of tensors or numbers."""
        damping = learning_rate * self.decay_rate(friction)
        exp = math.exp if isinstance(damping, float) else ops.exp
        keep = 1 - damping if self.friction_step == "explicit" else exp(-damping)
        return keep, learning_rate, learning_rate / self.mass

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """The coefficients once for all weights; on torch all weights at once, in place."""
        if keras.backend.backend() != "torch":
            learning_rate = ops.cast(learning_rate, "float32")
            coefficients = self._coefficients(learning_rate, ops.convert_to_tensor(self._friction))
            super()._backend_update_step(grads, trainable_variables, coefficients)
            return
        import torch

        keep, step, drift = self._coefficients(float(learning_rate), float(self.friction))
        with torch.no_grad():
            momenta = [self.momenta[self._get_variable_index(v)].value for v in trainable_variables]
            weights = [v.value for v in trainable_variables]
            if self.update_order == "weights_first":
                torch._foreach_add_(weights, momenta, alpha=drift)
            torch._foreach_mul_(momenta, keep)
            torch._foreach_add_(momenta, grads, alpha=-step)
            if self.update_order == "momentum_first":
                torch._foreach_add_(weights, momenta, alpha=drift)

    def get_config(self) -> dict[str, Any]:
        """All arguments; the friction is the initial one, as the present one is a variable."""
        return super().get_config() | {
            "mass": self.mass,
            "friction": self.initial_friction,
            "update_order": self.update_order,
            "friction_form": self.friction_form,
            "friction_step": self.friction_step,
            "initial_momentum": keras.initializers.serialize(self.initial_momentum),
        }


def phs_of(model: keras.Model, asked_by: str) -> PHS:
    """The PHS optimizer of a model, also inside the loss scaling of mixed precision.

    Args:
        model: A compiled Keras model.
        asked_by: Who needs it, for the message.

    Raises:
        ValueError: If the model has another optimizer.
    """
    outer: Any = getattr(model, "optimizer", None)
    optimizer = getattr(outer, "inner_optimizer", outer)
    if not isinstance(optimizer, PHS):
        raise ValueError(
            f"{asked_by} needs a model compiled with phs_optimizer.PHS, not with "
            f"{type(optimizer).__name__}: model.compile(optimizer=PHS(...), ...)"
        )
    if not outer.built:
        outer.build(model.trainable_variables)
    return optimizer


def _replicas() -> int:
    """Among how many devices a batch is divided here and now."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _initializer(momentum: object) -> keras.initializers.Initializer:
    if isinstance(momentum, Real) and not isinstance(momentum, bool):
        value = checks.number("initial_momentum", momentum, "a finite number", lambda v: True)
        return keras.initializers.Constant(value)
    try:
        found = keras.initializers.get(momentum)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, keras.initializers.Initializer):
        raise ValueError(
            f"initial_momentum must be a number, a Keras initializer or its name, not {momentum!r}"
        )
    return found
