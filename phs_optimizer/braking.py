"""The callback that brakes: goal-oriented exploration and exploitation."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.direction import (
    HIGHER,
    by_name,
    direction,
    is_metric,
    refuse_other_means,
)
from phs_optimizer.factor import Factor
from phs_optimizer.held_friction import HeldFriction
from phs_optimizer.lookup import friction_of, phs_of
from phs_optimizer.optimizer import PHS
from phs_optimizer.policy import ADJUSTMENT, STAGES, BrakingPolicy, Event
from phs_optimizer.port import accelerate
from phs_optimizer.record import Record
from phs_optimizer.state import BrakingState
from phs_optimizer.task_loss import TaskLoss
from phs_optimizer.watched import Watched

VAL_LOSS = "val_loss"
PORT_ENERGY = 0.5


class GoalOrientedBraking(keras.callbacks.Callback):
    """Explore with low friction until the training loss reaches a goal, then brake.

    Braking multiplies the friction γ of a :class:`phs_optimizer.PHS` optimizer by ``factor``, so
    that the weights settle in the minimum they are in (thesis ch. 3). It works with plain
    ``fit``, ``jit_compile``, ``steps_per_execution``, gradient accumulation, mixed precision and
    ``MirroredStrategy``.

    The loss compared with the goal is a moving average of the task loss, which excludes the
    weights' regularization terms.

    **Resuming.** The state of braking is kept in the optimizer. A training therefore resumes from
    a ``.keras`` file, or under ``BackupAndRestore``, as if it had not been interrupted, whatever
    the order of the callbacks. The best weights so far are kept in memory only: after an
    interruption the search for them starts again, with a warning. To start a new training,
    compile with a new optimizer.

    **Averages.** With ``use_ema``, put ``SwapEMAWeights(swap_on_epoch=True)`` before this callback.
    The best weights are then averages, which is what Keras validates.

    **Stability.** Before the first step, the callback checks that the explicit friction step is
    stable after braking with the largest time step α of a schedule. It cannot foresee a callback
    or a callable that increases α. If the friction would diverge then, it is reduced to the
    largest one that does not oscillate (α r = 1), with a warning.

    Args:
        target: The goal, read according to ``target_is``; or ``"auto"``, which needs neither a
            goal nor a number of epochs. It brakes each time ``validation`` has not improved for
            ``patience`` epochs, always from the best weights so far and ``factor`` times harder
            than before. It stops the training at the next stall after ``stages`` brakings.
        target_is: Meaning of ``target``, the thesis' "breaking at x". ``"reduction"``: the loss
            has fallen by this share of its initial value (0.8: to a fifth). ``"remaining"``: this
            share of it is left. ``"loss"``: the loss itself.
        factor: Number > 1. Braking sets the friction to this times the initial one, that of the
            optimizer when the training begins; one that is assigned during the training is
            replaced. By default 10. With ``target="auto"``, by default the factor with which the
            last braking ends in plain gradient descent: (α r)^(−1/``stages``), with the initial
            friction and the α of the first braking.
        average_steps: Length n of the exponential moving average of the loss, in steps. The goal
            is checked only after n steps of a phase.
        initial_loss: Loss that the shares refer to. By default the mean of the first 10 steps.
        patience: Epochs to explore without reaching the goal before ``on_patience`` applies; None
            waits forever. With ``target="auto"``: epochs without an improvement of
            ``validation``, by default 4.
        on_patience: ``"brake"``, from the best weights since the last acceleration; or
            ``"adjust"``: multiply the required share of the way to the goal by ``adjustment``,
            and wait again.
        adjustment: Factor between 0 and 1 for ``on_patience="adjust"``.
        overfitting_patience: Epochs for which the validation loss stays above its best before
            this counts as overfitting and the callback brakes, from those best weights.
        minima: Number of minima to visit. After ``exploitation`` epochs in one, an external force
            (the system's port) accelerates the weights again: the friction returns to its
            initial value, and momentum in a random direction is added.
        exploitation: Epochs to spend in each minimum after braking; only with ``minima`` > 1.
        stages: Number of brakings with ``target="auto"``; each multiplies the friction by
            ``factor``.
        port_energy: Kinetic energy that the port supplies, as a share of the initial loss.
        restore_best_weights: Whether to restore the weights of the best epoch at the end. By
            default only with ``minima`` > 1 or ``target="auto"``. The best epoch has the lowest
            validation loss; without validation data, the lowest average training loss.
        reset_momenta: Whether to set the momenta to 0 when ``fit`` ends, so that a later ``fit``
            does not carry restored weights away. None: if this callback has restored the best
            weights. True: always, as needed with ``EarlyStopping(restore_best_weights=True)``,
            which leaves momenta unchanged. False: never.
        monitor: What to average: ``"loss"``, or the name of another result in Keras' logs that
            falls as the training succeeds: a metric that is a mean over samples, or a number that
            a ``train_step`` of your own returns for each step.
        validation: What to watch on validation data: ``"val_loss"``, or the name of a metric in
            Keras' logs.
        validation_mode: ``"max"`` if higher values of ``validation`` are better, ``"min"`` if
            lower ones are. ``"auto"`` asks the metric, as Keras' ``EarlyStopping`` does.
        seed: Seed for the direction of the port's force.
        optimizer: The PHS optimizer to brake if the model has several, such as the generator's in
            a GAN. By default the one that the model was compiled with, or the only PHS in its
            ``MultiOptimizer``.
        log_path: File to which each event and each epoch is appended as a line of JSON. Lines stay
            even if ``BackupAndRestore`` undoes their epoch.
        verbose: 1 prints each event and, at the end, why it never braked; 0 prints nothing.
        **kwargs: Not accepted. An unknown name raises an error that lists the known ones.

    Attributes:
        factor: The factor; with the default of ``target="auto"``, NaN until the first braking.
        events: One dict for each event: ``step``, ``epoch``, ``action``, ``reason``, ``loss``,
            ``friction`` (after the event).
        trace: Pairs of step and average loss, for the plot.
        policy: The :class:`~phs_optimizer.policy.BrakingPolicy` that decides.

    Raises:
        ValueError: If a value is out of range, a goal can never be reached by its definition, or
            an option is unknown. In ``fit``: if the model has no PHS optimizer, or if the
            explicit friction step would diverge with this factor and time step.

    Warns:
        UserWarning: If ``average_steps`` is larger than the number of steps in an epoch, because
            the goal is then not checked in the first epochs.

    Example:
        >>> import keras, numpy as np
        >>> from phs_optimizer import PHS
        >>> x = np.random.default_rng(0).normal(size=(640, 3))
        >>> y = x.sum(axis=1)
        >>> def new_model(friction):
        ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        ...     model.compile(PHS(learning_rate=0.1, friction=friction), "mse")
        ...     return model
        >>> braking = GoalOrientedBraking(target=0.9, factor=10, average_steps=20, verbose=0)
        >>> history = new_model(1.0).fit(x, y, epochs=10, verbose=0, callbacks=[braking])
        >>> [(event["action"], round(event["friction"], 3)) for event in braking.events]
        [('brake', 10.0)]

        Without a goal, for as many epochs as it takes:

        >>> braking = GoalOrientedBraking("auto", patience=2, verbose=0)
        >>> history = new_model(0.1).fit(
        ...     x, y, epochs=1000, validation_split=0.1, verbose=0, callbacks=[braking]
        ... )
        >>> [event["action"] for event in braking.events]
        ['brake', 'brake', 'stop']
    """

    def __init__(
        self,
        target: float | str,
        target_is: str = "reduction",
        factor: float | None = None,
        average_steps: int = 100,
        initial_loss: float | None = None,
        patience: int | None = None,
        on_patience: str = "brake",
        adjustment: float = ADJUSTMENT,
        overfitting_patience: int | None = None,
        minima: int = 1,
        exploitation: int | None = None,
        stages: int = STAGES,
        port_energy: float = PORT_ENERGY,
        restore_best_weights: bool | None = None,
        reset_momenta: bool | None = None,
        monitor: str = "loss",
        validation: str = VAL_LOSS,
        validation_mode: str = "auto",
        seed: int = 0,
        optimizer: keras.optimizers.Optimizer | None = None,
        log_path: str | Path | None = None,
        verbose: int = 1,
        **kwargs: Any,
    ):
        super().__init__()
        checks.no_unknown("GoalOrientedBraking", kwargs, type(self).__init__)
        self.policy = BrakingPolicy(
            target=target,
            target_is=target_is,
            average_steps=average_steps,
            initial_loss=initial_loss,
            patience=patience,
            on_patience=on_patience,
            adjustment=adjustment,
            overfitting_patience=overfitting_patience,
            minima=minima,
            exploitation=exploitation,
            stages=stages,
        )
        for name, value in {"monitor": monitor, "validation": validation}.items():
            if not isinstance(value, str):
                raise ValueError(f"{name} must be a name in Keras' logs, not {value!r}")
        if by_name(monitor) == HIGHER:
            raise ValueError(_rises(monitor))
        automatic = self.policy.automatic
        self._factor = Factor(factor, self.policy.stages, automatic)
        self.port_energy = checks.number("port_energy", port_energy, "> 0", lambda v: v > 0)
        checks.flag("restore_best_weights", restore_best_weights, also=(None,))
        checks.flag("reset_momenta", reset_momenta, also=(None,))
        checks.flag("verbose", verbose, also=(0, 1))
        self.restore_best_weights = (
            automatic or minima > 1 if restore_best_weights is None else restore_best_weights
        )
        self.reset_momenta = reset_momenta
        self.optimizer = optimizer
        self.verbose = verbose
        self._record = Record(None if log_path is None else Path(log_path))
        self.seed = checks.count("seed", seed, least=0)
        if minima == 1 and (self.port_energy, self.seed) != (PORT_ENERGY, 0):
            raise ValueError("port_energy and seed are only for minima > 1: leave them out")
        self.monitor = monitor
        self.validation = validation
        needs = {
            'target="auto"': automatic,
            "overfitting_patience": overfitting_patience is not None,
        }
        self._watched = Watched(
            validation, validation_mode, [option for option, needed in needs.items() if needed]
        )
        self._task_loss = TaskLoss(monitor, refresh=self.policy.average_steps)
        self._brake_from_best = (
            automatic
            or overfitting_patience is not None
            or (patience is not None and on_patience == "brake")
        )
        # The best of all epochs, to restore at the end, and the best since the last acceleration.
        self._best_weights: list | None = None
        self._best_here: list | None = None
        self._epoch = 0
        self._training = False  # from the start of the first epoch to the end of the training
        self._friction = HeldFriction()
        self._of: PHS | None = None  # the optimizer that events and best weights belong to
        self._before = 0.0  # its steps before this callback's first
        self._tested = False  # whether the model has been validated in this epoch

    @property
    def factor(self) -> float:
        """Factor of each braking; see the class."""
        return self._factor.value

    @property
    def events(self) -> list[dict]:
        """What braking did; see the class."""
        return self._record.events

    @property
    def trace(self) -> list[tuple[int, float]]:
        """Pairs of step and average loss."""
        return self._record.trace

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check what can be checked before it is known whether a training is resumed."""
        if not friction_of(self._optimizer()):
            raise ValueError(
                "braking multiplies the friction, but 0 stays 0: give PHS a friction > 0"
            )
        self._warn_of_short_epochs(self._steps_of_epoch() or 0)
        self._training = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Load the state from the optimizer before the first epoch; start a new running mean."""
        if not self._training:
            # Not earlier: BackupAndRestore restores in on_train_begin, perhaps after this callback.
            state = self._stored_state()
            epochs = ((self.params or {}).get("epochs") or 1) - epoch
            self._factor.check(self._optimizer(), (self._steps_of_epoch() or 0) * epochs)
            self._task_loss.forget_terms()
            self._record.open()
            self._load_state(epoch, state)
        self._training = True
        self._epoch, self._tested = epoch, False
        self.policy.state.epoch, self.policy.state.validation = epoch, math.inf
        self._friction.keep_stable(self._optimizer())
        self._task_loss.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Keep the friction stable if another callback has just set a larger time step."""
        if not batch:
            self._friction.keep_stable(self._optimizer())

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Average the loss, and brake if it has reached the goal.

        Raises:
            ValueError: If ``monitor`` is a metric that rises as the training succeeds or is not a
                mean, or nothing says whether a higher ``validation`` is better.
        """
        if not self.policy.state.steps:
            if direction(self.monitor, self.model) == HIGHER:
                raise ValueError(_rises(self.monitor))
            refuse_other_means(self.monitor, self.model)
            if is_metric(self.validation, self.model):
                self._watched.sign(self.model)  # Fail now if nothing says what is better.
        event = self.policy.observe(*self._task_loss.read(self, batch, logs))
        seen = self.policy.state.steps
        due = not self.trace or seen - self.trace[-1][0] >= self.policy.average_steps / 2
        if due or event:
            self.trace.append((int(seen), self.policy.average))
        steps = self._steps_of_epoch()
        if due or (steps is None and not self._optimizer().has_fixed_rate):
            self._friction.keep_stable(self._optimizer())
        if event:
            self._carry_out(event)
        # Regularly, for a file saved within an epoch; and after its last step, for one saved by
        # a callback before this one in the list. If the last step is unknown, after each step.
        elif due or steps is None or batch + 1 >= steps:
            self._save_state()

    def on_test_end(self, logs: dict | None = None) -> None:
        """Store the validation result, for a file saved before this callback ends the epoch."""
        self._tested = True
        if not self._training:
            return
        found = self._watched.of_test(logs or {}, self.model)
        if found is not None:
            self.policy.state.validation = found
            self._save_state()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the best weights, and brake or accelerate if the policy decides so."""
        logs = {} if logs is None else logs
        if not epoch and self._steps_of_epoch() is None:
            self._warn_of_short_epochs(int(self.policy.state.steps))
        latest = self.events[-1] if self.events else None
        if latest and latest["step"] == self.policy.state.steps:
            # With data of unknown length, Keras on JAX undoes changes made after the last step.
            self._friction.keep_stable(
                self._optimizer(), self._friction.wanted or latest["friction"]
            )
        average = self.policy.average
        self._end_epoch(self._watched.of_epoch(logs, self.model, self._tested))
        present = friction_of(self._optimizer())
        # Of several optimizers, each has its own.
        logs["friction" if self.optimizer is None else f"{self.optimizer.name}_friction"] = present
        self._record.log({"epoch": epoch, "loss": average, "friction": present})

    def on_train_end(self, logs: dict | None = None) -> None:
        """Restore the best weights if requested, and say why the callback never braked."""
        self._training = False
        best = self._best_weights if self.restore_best_weights else None
        if best is not None:
            self._restore(best)
        if best is not None if self.reset_momenta is None else self.reset_momenta:
            self._optimizer().reset_momenta()
        if self.verbose and (why := self.policy.unreached()):
            print(f"\n{type(self).__name__} {why}", flush=True)

    def _stored_state(self) -> BrakingState:
        """Return the state in the optimizer; in a new training, begin with its friction."""
        optimizer = self._optimizer()
        if not optimizer.built:
            return BrakingState()
        state = BrakingState.from_vector(keras.ops.convert_to_numpy(optimizer.braking_state))
        present = friction_of(optimizer)
        if not state.steps and not math.isclose(present, optimizer.initial_friction, rel_tol=1e-6):
            optimizer.initial_friction = present
        return state

    def _load_state(self, epoch: int, state: BrakingState) -> None:
        """Resume from a state, or start a new training."""
        optimizer, policy = self._optimizer(), self.policy
        self._factor.load(state.factor)
        taken = optimizer.steps_taken()
        if state.steps and optimizer is self._of:
            # BackupAndRestore may have undone steps after an interruption.
            undone = taken - self._before < policy.state.steps
            policy.state = state
            if undone:
                self._record.undo_after(state)
                self._friction.wanted = None
                if state.braking:
                    self._friction.resume(optimizer, self.factor, int(state.braking))
                self._end_earlier_epoch(epoch, state)
            return
        self._before = taken - state.steps
        policy.begin(state)
        self._record.clear()
        self._best_weights = self._best_here = self._friction.wanted = None
        self._of = optimizer
        if not state.steps:
            return
        if self.restore_best_weights or self._brake_from_best:
            warnings.warn(
                f"{type(self).__name__} resumes after step {state.steps:.0f}. A saved model does "
                "not contain the best weights so far, so the search for the best starts again "
                "from here",
                stacklevel=2,
            )
        if state.braking:
            self._friction.resume(optimizer, self.factor, int(state.braking))
        if self.verbose:
            print(
                f"\n{type(self).__name__} continues after step {state.steps:.0f}: brakings "
                f"{state.braking:.0f}, friction {friction_of(optimizer):.4g}",
                flush=True,
            )
        self._end_earlier_epoch(epoch, state)

    def _end_earlier_epoch(self, epoch: int, state: BrakingState) -> None:
        """End an epoch whose end is missing in the state of a resumed training.

        A callback before this one in the list saved it, so that end is still due.
        """
        ended = not math.isinf(state.validation) or epoch != state.epoch
        if ended and not math.isinf(state.epoch):
            self._epoch = int(state.epoch)
            self._end_epoch(None if math.isinf(state.validation) else state.validation)

    def _end_epoch(self, validation: float | None) -> None:
        self.policy.state.epoch = self.policy.state.validation = math.inf
        is_best, is_best_here, event = self.policy.epoch_end(validation)
        if is_best and self.restore_best_weights:
            self._best_weights = self.model.get_weights()
        if is_best_here and self._brake_from_best:
            self._best_here = self.model.get_weights()
        if event:
            self._carry_out(event, after_epoch=True)
        else:
            self._save_state()

    def _carry_out(self, event: Event, after_epoch: bool = False) -> None:
        optimizer = self._optimizer()
        reason = event.reason
        if self.policy.automatic:
            best = self._watched.sign(self.model) * self.policy.state.best_validation
            reason += f" (best {self.validation} {best:.4g})"
        if event.action == "brake":
            self.policy.state.factor = self._factor.settle(optimizer)
            harder = self.factor**self.policy.state.braking
            self._friction.keep_stable(optimizer, optimizer.initial_friction * harder)
            if event.from_best and self._best_here is not None:
                self._restore(self._best_here)
                self._task_loss.forget_terms()
                optimizer.reset_momenta()
                reason += "; from the best weights"
        elif event.action == "accelerate":
            self._friction.keep_stable(optimizer, optimizer.initial_friction)
            self._best_here = None
            # One direction for each minimum, and the same one when the training is resumed.
            random = np.random.default_rng((self.seed, int(self.policy.state.minima)))
            accelerate(optimizer, self.port_energy * abs(self.policy.initial_loss), random)
        elif event.action == "stop":
            self.model.stop_training = True
        self._save_state()
        record = {
            "step": int(self.policy.state.steps),
            "epoch": self._epoch,
            "action": event.action,
            "reason": reason,
            "loss": event.loss,
            "friction": friction_of(optimizer),
        }
        self._record.add(record, after_epoch)
        if self.verbose:
            print(f"\n{event.action} at step {record['step']}: {reason}", flush=True)

    def _restore(self, weights: list) -> None:
        """Set the weights and, if the optimizer averages them, restart the averages there.

        SwapEMAWeights may have swapped the two.
        """
        self.model.set_weights(weights)
        optimizer = self._optimizer()
        if optimizer.use_ema:
            for variable, average in zip(
                optimizer._trainable_variables,
                optimizer._model_variables_moving_average,
                strict=True,
            ):
                average.assign(variable)

    def _warn_of_short_epochs(self, steps: int) -> None:
        average = self.policy.average_steps
        if steps and average > steps and not self.policy.automatic:
            warnings.warn(
                f"average_steps={average} is more than the {steps} steps of an epoch: the goal is "
                f"not checked in the first {math.ceil(average / steps) - 1} epochs, and changes of "
                f"the loss show late. With such short epochs, take average_steps={steps}",
                stacklevel=2,
            )

    def _steps_of_epoch(self) -> int | None:
        """Return the number of steps in an epoch, or None for data of unknown length."""
        return (self.params or {}).get("steps")

    def _optimizer(self) -> PHS:
        return phs_of(self.model, type(self).__name__, self.optimizer)

    def _save_state(self) -> None:
        vector = np.array(self.policy.state.to_vector(), "float32")
        # Continue with the rounded numbers that are saved, exactly as a resumed training does.
        self.policy.state = BrakingState.from_vector(vector)
        self._optimizer().braking_state.assign(vector)


def _rises(monitor: str) -> str:
    return (
        f"monitor={monitor!r} rises as the training succeeds, but a goal is reached from above: "
        "give a loss or an error, such as monitor='loss'"
    )
