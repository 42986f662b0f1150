"""The port-Hamiltonian optimizer: a body with mass and friction in the landscape of the loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from phs_optimizer import checks, sgd, stability
from phs_optimizer.state import BrakingState
from phs_optimizer.step import (
    Coefficients,
    coefficients,
    dtype_of,
    is_low_precision,
    move,
    move_all,
)

UPDATE_ORDERS = ("momentum_first", "weights_first")
FRICTION_FORMS = ("viscous", "rate")
FRICTION_STEPS = ("explicit", "exponential")


@keras.saving.register_keras_serializable("phs_optimizer")
class PHS(keras.optimizers.Optimizer):
    r"""Port-Hamiltonian stochastic gradient descent: momentum with mass, friction and energy.

    The weights w are the position, and p the momentum, of a body with the energy
    H = ‖p‖²/(2m) + L(w). With friction γ, mass m and the gradient g of the loss L,

        dw/dt = p / m,    dp/dt = −r p − g,    r = γ/m ("viscous") or γ ("rate").

    With ``update_order="momentum_first"``, a step of length α (``learning_rate``) is (thesis
    eqs. 2.14 and 2.15; the second line uses the new p)

        p ← (1 − α r) p − α g
        w ← w + (α/m) p

    With ``"weights_first"`` (eq. 3.2) the weights move with the old momentum. In terms of
    v = (α/m) p, the default is ``keras.optimizers.SGD(learning_rate=α²/m, momentum=1 − α r)``.
    Over many steps it moves like plain gradient descent with the step size α/(m r).
    :meth:`from_sgd` converts SGD's settings.

    **Stability.** The explicit factor 1 − α r flips the sign of the momentum in every step if
    α r > 1, and makes it grow without bound if α r > 2. ``friction_step="exponential"`` uses
    exp(−α r) instead, which is stable for any friction. The gradient term is the same in both.

    **Friction** is a variable: :class:`phs_optimizer.GoalOrientedBraking` multiplies it during
    training, you may assign ``optimizer.friction``, and it is saved with the model.

    **Schedules.** A schedule for ``learning_rate``, or a callback such as ``ReduceLROnPlateau``,
    changes the time step α. This differs from SGD: the equivalent SGD rate α²/m changes with the
    square of α, and the memory of the momentum, 1/(α r) steps, grows as α falls. To get the
    effect of a schedule on SGD, use ``step_schedule``: it scales the force −g, and with it the
    long-run step, but leaves the memory unchanged.

    **Precision.** Weights in float16 or bfloat16 get float32 momenta, and their steps are
    computed in float32 before rounding. The policies ``"mixed_float16"`` and
    ``"mixed_bfloat16"`` keep the weights themselves in float32.

    Args:
        learning_rate: Time step α > 0, a ``keras.optimizers.schedules.LearningRateSchedule`` of
            it, or a callable without arguments. See "Schedules" above.
        mass: Mass m > 0. Each step moves the weights by α/m times the momentum.
        friction: Initial friction γ ≥ 0. With 0, energy is conserved and nothing converges.
        update_order: ``"momentum_first"`` (eqs. 2.14, 2.15) or ``"weights_first"`` (eq. 3.2).
        friction_form: Meaning of γ: ``"viscous"``, r = γ/m, as the thesis prints it; or
            ``"rate"``, r = γ, with which every row of its tables is stable.
        friction_step: ``"explicit"`` (1 − α r) or ``"exponential"`` (exp(−α r)).
        initial_momentum: p₀ of every weight: a number, a Keras initializer or its name.
        step_schedule: Factor s ≥ 0 of the force, as a ``LearningRateSchedule``: the equivalent
            SGD rate is s α²/m. ``CosineDecay(1.0, steps)`` takes it from α²/m to 0. None keeps
            s = 1.
        weight_decay: As for every Keras optimizer, like all arguments below.
        clipnorm: See ``keras.optimizers.SGD``.
        clipvalue: See ``keras.optimizers.SGD``.
        global_clipnorm: See ``keras.optimizers.SGD``.
        use_ema: See ``keras.optimizers.SGD``.
        ema_momentum: See ``keras.optimizers.SGD``.
        ema_overwrite_frequency: See ``keras.optimizers.SGD``.
        loss_scale_factor: See ``keras.optimizers.SGD``.
        gradient_accumulation_steps: See ``keras.optimizers.SGD``.
        name: Name of the optimizer. None gives "phs", "phs_1" and so on, as Keras does.
        **kwargs: Not accepted. An unknown name raises an error that lists the known ones.

    Raises:
        ValueError: If a value is not finite or out of range, if an option is unknown, or if the
            explicit friction step diverges (α r > 2) at the first α of a schedule. The rest of a
            schedule is checked by :class:`phs_optimizer.GoalOrientedBraking` when training
            begins, because only then is the number of steps known.

    Warns:
        UserWarning: If the explicit friction step oscillates (1 < α r ≤ 2), or if the weights
            are float16 or bfloat16: with any optimizer, they ignore steps below their rounding.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(PHS(learning_rate=0.1, mass=1.0, friction=1.0), "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> losses = model.fit(x, x.sum(axis=1), epochs=5, verbose=0).history["loss"]
        >>> losses[-1] < losses[0]
        True

    References:
        J. Burghoff, dissertation, Wuppertal 2023, sec. 2.2.4 and ch. 3;
        J. Burghoff, M. H. Monells, H. Gottschalk, arXiv 2304.07070.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule | Callable[[], float] = 0.1,
        mass: float = 1.0,
        friction: float = 1.0,
        update_order: str = "momentum_first",
        friction_form: str = "viscous",
        friction_step: str = "explicit",
        initial_momentum: float | str | keras.initializers.Initializer = 0.0,
        step_schedule: LearningRateSchedule | None = None,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        hint = (
            ". PHS.from_sgd takes SGD's learning rate and momentum" if "momentum" in kwargs else ""
        )
        checks.no_unknown("PHS", kwargs, type(self).__init__, hint)
        mass = checks.number("mass", mass, "a number > 0", lambda v: v > 0)
        friction = checks.number("friction", friction, "a number >= 0", lambda v: v >= 0)
        checks.choice("update_order", update_order, UPDATE_ORDERS)
        checks.choice("friction_form", friction_form, FRICTION_FORMS)
        checks.choice("friction_step", friction_step, FRICTION_STEPS)
        if not callable(learning_rate):
            learning_rate = checks.number(
                "learning_rate", learning_rate, "a number > 0", lambda v: v > 0
            )
        if step_schedule is not None and not isinstance(step_schedule, LearningRateSchedule):
            raise ValueError(
                "step_schedule must be a keras.optimizers.schedules.LearningRateSchedule, not "
                f"{step_schedule!r}; for a constant factor, change mass"
            )
        if step_schedule is not None:
            first = stability.schedule_value(step_schedule, 0)
            checks.number("step_schedule(0)", first, "a number >= 0", lambda v: v >= 0)
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
        self.initial_momentum = checks.initializer("initial_momentum", initial_momentum)
        self.step_schedule = step_schedule
        self._decaying = False
        self._friction: keras.Variable | None = None
        self.momenta: list[keras.Variable | None] = []  # one for each weight, once built
        self.check_stable(friction)

    @classmethod
    def from_sgd(
        cls,
        learning_rate: float | LearningRateSchedule,
        momentum: float,
        time_step: float = 0.1,
        **options: Any,
    ) -> PHS:
        """Return a PHS optimizer that moves as ``keras.optimizers.SGD`` does with these settings.

        The mass is α²/``learning_rate``, and the friction is the rate (1 − ``momentum``)/α. A
        schedule becomes the ``step_schedule`` at mass α²: as in SGD, it changes the long-run step
        but not the memory. Unlike SGD, the result has a friction that braking can raise.

        Args:
            learning_rate: SGD's learning rate > 0, or a schedule of it.
            momentum: SGD's momentum, from 0 to 1.
            time_step: α > 0. The choice does not affect how the weights move.
            **options: Other arguments of the class, such as ``clipnorm``, or ``weight_decay``
                with SGD's value.

        Raises:
            ValueError: If a value is out of range, or an option follows from the two settings.

        Example:
            >>> schedule = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=1000)
            >>> optimizer = PHS.from_sgd(schedule, momentum=0.9)
            >>> f"mass {optimizer.mass:.3g}, friction {optimizer.friction:.3g}"
            'mass 0.01, friction 1'
        """
        return cls(**sgd.as_phs(learning_rate, momentum, time_step, options))

    def build(self, variables: list[keras.Variable]) -> None:
        """Create a momentum for each weight, the friction, and the state of braking.

        Raises:
            ValueError: If gradients are to be accumulated on several devices.
        """
        if self.built:
            return
        if self.gradient_accumulation_steps and _replicas() > 1:
            raise ValueError(
                "Keras cannot accumulate gradients under tf.distribute: the devices would have to "
                "synchronize inside a condition. Leave out gradient_accumulation_steps and use a "
                "larger batch, which the devices split among themselves"
            )
        super().build(variables)
        self.momenta = [self._new_momentum(v) for v in variables]
        if low := {dtype_of(v) for v in variables if is_low_precision(v)}:
            warnings.warn(
                f"Weights in {', '.join(sorted(low))}: momenta and steps are computed in float32, "
                "but a step smaller than a weight's rounding does not change the weight. "
                'keras.config.set_dtype_policy("mixed_bfloat16") keeps the weights in float32',
                stacklevel=2,
            )
        self._friction = self.add_variable(
            (),
            keras.initializers.Constant(self.initial_friction),
            "float32",
            aggregation="only_first_replica",
            name="friction",
        )
        # What a braking callback must know to resume from a saved model.
        self.braking_state = self.add_variable(
            (len(fields(BrakingState)),),
            "zeros",
            "float32",
            aggregation="only_first_replica",
            name="braking_state",
        )

    def _new_momentum(self, weight: Any) -> keras.Variable | None:
        """Create the momentum of a weight; None if its gradient overwrites the weight (float8)."""
        # Clone it for each weight: one unseeded initializer draws the same numbers in every call.
        initializer = self.initial_momentum.clone()
        if not is_low_precision(weight):
            return self.add_optimizer_variables([weight], "momentum", initializer)[0]
        name = getattr(weight, "path", weight.name).replace("/", "_")
        return self.add_variable(
            weight.shape,
            initializer,
            "float32",
            layout=getattr(weight, "_layout", None),
            name=f"{name}_momentum",
        )

    def reset_momenta(self) -> None:
        """Set all momenta to 0, for example after replacing the weights."""
        for momentum in self.momenta:
            if momentum is not None:
                momentum.assign(ops.zeros(momentum.shape, momentum.dtype))

    @property
    def friction(self) -> float | keras.Variable:
        """Current friction γ: a scalar variable once built, the initial number before that."""
        return self.initial_friction if self._friction is None else self._friction

    @friction.setter
    def friction(self, value: Any) -> None:
        if getattr(value, "shape", None) == ():  # As in `optimizer.friction *= 10`.
            value = float(ops.convert_to_numpy(value))
        value = checks.number("friction", value, "a number >= 0", lambda v: v >= 0)
        self.check_stable(value)
        if self._friction is None:
            self.initial_friction = value
        else:
            self._friction.assign(value)

    def decay_rate(self, friction: Any) -> Any:
        """Return the rate r at which friction alone reduces the momentum: γ/m or γ."""
        return friction / self.mass if self.friction_form == "viscous" else friction

    def time_step(self) -> float:
        """Return the current time step α. Do not call it while tracing, when α has no value."""
        return float(ops.convert_to_numpy(self.learning_rate))

    @property
    def has_fixed_rate(self) -> bool:
        """Whether α is a number that changes only if it is assigned, not a schedule or callable."""
        return isinstance(self._learning_rate, keras.Variable)

    def force_scale(self) -> float:
        """Return the factor s of the force in the latest step; 1 without a step schedule."""
        if self.step_schedule is None:
            return 1.0
        return stability.schedule_value(self.step_schedule, max(self.steps_taken() - 1, 0))

    def steps_taken(self) -> int:
        """Return the number of batches that this optimizer has seen, which schedules count.

        A ``LossScaleOptimizer`` does not pass on a batch whose gradients are not finite.
        """
        return int(ops.convert_to_numpy(self._iterations))

    def check_stable(self, friction: float, steps: int = 1) -> None:
        """Check that the explicit step stays stable with a friction and the coming time steps α.

        Args:
            friction: The friction γ to check: the current one, or the one after braking.
            steps: Number of coming steps. With a schedule, the largest α among them counts.

        Warns:
            UserWarning: If 1 < α r ≤ 2: the momentum changes sign in every step.

        Raises:
            ValueError: If α r > 2: the momentum grows in every step.
        """
        if self.friction_step == "exponential":
            return
        step, when, schedule = self.time_step(), "", self._learning_rate
        if isinstance(schedule, LearningRateSchedule) and steps > 1:
            step, place = stability.largest_time_step(
                lambda at: stability.schedule_value(schedule, at), self.steps_taken(), steps
            )
            when = f", the largest of its schedule, at step {place}"
        damping = step * self.decay_rate(friction)
        formula = "αγ/m" if self.friction_form == "viscous" else "αγ"
        found = (
            f"{formula} = {damping:g} with learning_rate (α) {step:g}{when}, friction (γ) "
            f"{friction:g} and mass (m) {self.mass:g}"
        )
        stability.check_damping(friction, damping, found, stacklevel=4)

    def stable_friction(self, friction: float) -> float:
        """Return ``friction``, or a smaller one if it would diverge with the current time step α.

        Returns:
            ``friction`` if its step is stable. Otherwise the friction with α r = 1, the largest
            at which the momentum does not change sign.
        """
        if self.friction_step == "exponential":
            return friction
        damping = self.time_step() * self.decay_rate(friction)
        return stability.stable_friction(friction, damping)

    @property
    def _momentum_first(self) -> bool:
        return self.update_order == "momentum_first"

    def _get_current_learning_rate(self):
        """Return α; during weight decay α times the step schedule, as SGD would have it."""
        step = super()._get_current_learning_rate()
        if self._decaying and self.step_schedule is not None:
            return ops.multiply(step, ops.cast(self.step_schedule(self._iterations), "float32"))
        return step

    def _apply_weight_decay(self, variables):
        self._decaying = True
        try:
            super()._apply_weight_decay(variables)
        finally:
            self._decaying = False

    def _clip_gradients(self, grads):
        """Clip the gradient of the whole batch; Keras would clip each device's part of it."""
        replicas = _replicas()
        clipping = (self.clipnorm, self.clipvalue, self.global_clipnorm)
        if replicas == 1 or not any(clipping):
            return super()._clip_gradients(grads)
        import tensorflow as tf

        whole = tf.distribute.get_replica_context().all_reduce("SUM", list(grads))
        # Keras sums over devices next, and each device now has the whole gradient.
        return [ops.multiply(g, 1 / replicas) for g in super()._clip_gradients(whole)]

    def update_step(
        self, gradient: Any, variable: keras.Variable, coefficients: Coefficients
    ) -> None:
        """Update one weight and its momentum; see the class for the equations.

        Args:
            gradient: Gradient g of the loss with respect to the weight.
            variable: The weight w.
            coefficients: What momentum and gradient are multiplied by.
        """
        momentum = self.momenta[self._get_variable_index(variable)]
        move(self, variable, momentum, gradient, coefficients, self._momentum_first)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Compute the coefficients once for all weights; on torch, update all weights at once."""
        if keras.backend.backend() == "torch":
            factors = self._coefficients(float(learning_rate), float(self.friction), float)
            momenta = [self.momenta[self._get_variable_index(v)] for v in trainable_variables]
            move_all(trainable_variables, momenta, grads, factors, self._momentum_first)
            return

        def convert(number):
            return ops.cast(number, "float32")

        friction = ops.convert_to_tensor(self._friction)
        factors = self._coefficients(convert(learning_rate), friction, convert)
        super()._backend_update_step(grads, trainable_variables, factors)

    def _coefficients(self, time_step, friction, convert):
        schedule = self.step_schedule
        scale = None if schedule is None else convert(schedule(self._iterations))
        explicit = self.friction_step == "explicit"
        return coefficients(time_step, self.decay_rate(friction), self.mass, scale, explicit)

    def get_config(self) -> dict[str, Any]:
        """Return all arguments. The friction is the initial one; the current one is a variable."""
        return super().get_config() | {
            "mass": self.mass,
            "friction": self.initial_friction,
            "update_order": self.update_order,
            "friction_form": self.friction_form,
            "friction_step": self.friction_step,
            "initial_momentum": keras.initializers.serialize(self.initial_momentum),
            "step_schedule": self.step_schedule
            and keras.optimizers.schedules.serialize(self.step_schedule),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> PHS:
        """Return an optimizer with the arguments that :meth:`get_config` returned."""
        config = dict(config)
        if isinstance(config.get("step_schedule"), dict):
            config["step_schedule"] = keras.saving.deserialize_keras_object(
                config["step_schedule"], custom_objects=custom_objects
            )
        return super().from_config(config, custom_objects)

    def get_compile_config(self) -> dict[str, str]:
        """Return a hint for programs that load a model without importing this package.

        There Keras cannot create the optimizer, and prints its stored configuration, which
        includes this hint.
        """
        return {"PHS comes from": "phs_optimizer: put `import phs_optimizer` before load_model()"}

    def compile_from_config(self, config: dict[str, str]) -> None:
        """Do nothing: the compile configuration is only a hint for the reader."""


def _replicas() -> int:
    """Return the number of devices that share a batch under the current strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
