"""The callback that brakes: goal-oriented exploration and exploitation."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.optimizer import PHS, phs_of
from phs_optimizer.policy import STAGES, BrakingPolicy, BrakingState, Event
from phs_optimizer.task_loss import TaskLoss


class GoalOrientedBraking(keras.callbacks.Callback):
    """Explores with little friction until the training loss reaches a goal, then brakes.

    Braking multiplies the friction γ of a :class:`phs_optimizer.PHS` optimizer by ``factor``, so
    that the weights settle in the minimum they are in (thesis ch. 3). Works with plain ``fit``,
    ``jit_compile``, ``steps_per_execution``, gradient accumulation, mixed precision and
    ``MirroredStrategy``.

    The loss that is compared is a moving average of the task loss, without the regularization
    terms of the weights. Where the state machine stands is kept in the optimizer, so that a
    ``.keras`` file saved in the middle goes on as if nothing had happened; put this callback
    before ``ModelCheckpoint``. Weights that were best so far are kept in memory only and are
    looked for anew after loading. To begin a new training, compile with a new optimizer.

    Args:
        target: The goal, in the meaning of ``target_is``; or ``"auto"``: no goal, and no number of
            epochs to know. It brakes each time ``validation`` has not improved for ``patience``
            epochs, always from the best weights so far and ``factor`` times harder than before,
            and ends the training when it stalls after the last of ``stages`` brakings.
        target_is: What the thesis' "breaking at x" means: ``"reduction"``: the loss has fallen by
            the share ``target`` of its initial value (0.8: to a fifth); ``"remaining"``: the
            share ``target`` of it is left; ``"loss"``: the loss itself.
        factor: What the friction is multiplied with, > 1.
        average_steps: Length n of the exponential moving average of the loss, in steps. The goal
            is not looked at before n steps of a phase.
        initial_loss: Loss that the shares refer to; by default the mean of the first 10 steps.
        patience: Epochs to explore without reaching the goal before ``on_patience`` happens;
            None waits for ever. With ``target="auto"``: epochs in which ``validation`` does not
            improve, by default 4.
        on_patience: ``"brake"`` from the best weights since the last acceleration, or
            ``"adjust"``: multiply the share of the way to the goal that is asked for by
            ``adjustment`` and wait again.
        adjustment: That factor, between 0 and 1.
        overfitting_patience: Epochs in which the validation loss stays above its best before the
            onset of overfitting is stated, and the brakes applied from those best weights.
        minima: How many minima to visit. After ``exploitation`` epochs in one, an external force
            (the system's port) accelerates the weights again: the friction becomes the initial
            one, and a momentum of random direction is added.
        exploitation: Epochs to brake in each minimum; only with ``minima`` > 1.
        stages: How often to brake with ``target="auto"``; the friction is multiplied by ``factor``
            each time.
        port_energy: Kinetic energy that the port supplies, in shares of the initial loss.
        restore_best_weights: Whether the weights of the best epoch are put back at the end; by
            default only with ``minima`` > 1 or ``target="auto"``. Best is by validation loss where
            there is one, by the average training loss otherwise.
        monitor: What to average: ``"loss"``, or the name of a metric in Keras' logs.
        validation: What to watch on validation data: ``"val_loss"``, or the name of a metric in
            Keras' logs. One whose name has "acc" or "auc" in it is better higher, others lower.
        seed: Seed of the port's direction.
        log_path: A file to which every event and every epoch is appended as a line of JSON.
        verbose: 1 prints every event, 0 nothing.
        **kwargs: Nothing else is allowed.

    Attributes:
        events: What happened, one dict each: ``step``, ``epoch``, ``action``, ``reason``,
            ``loss``, ``friction`` (after it).
        trace: Pairs of step and average loss, for the plot.
        policy: The :class:`~phs_optimizer.policy.BrakingPolicy` that decides.

    Raises:
        ValueError: A value out of its range, a goal that cannot be reached by its definition, an
            unknown option; in ``fit``, a model without a PHS optimizer, or a factor or a time step
            with which the explicit friction step would diverge.

    Example:
        >>> model.fit(x, y, callbacks=[GoalOrientedBraking(target=0.85, factor=10)])

        Without a goal, and as many epochs as it takes:

        >>> model.fit(x, y, validation_split=0.1, epochs=1000,
        ...           callbacks=[GoalOrientedBraking("auto")])
    """

    def __init__(
        self,
        target,
        target_is="reduction",
        factor=10.0,
        average_steps=100,
        initial_loss=None,
        patience=None,
        on_patience="brake",
        adjustment=0.9,
        overfitting_patience=None,
        minima=1,
        exploitation=None,
        stages=STAGES,
        port_energy=0.5,
        restore_best_weights=None,
        monitor="loss",
        validation="val_loss",
        seed=0,
        log_path=None,
        verbose=1,
        **kwargs,
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
        automatic = self.policy.automatic
        self.factor = checks.number("factor", factor, "a number > 1", lambda v: v > 1)
        self.port_energy = checks.number("port_energy", port_energy, "> 0", lambda v: v > 0)
        self.restore_best_weights = (
            automatic or minima > 1 if restore_best_weights is None else bool(restore_best_weights)
        )
        self.log_path = None if log_path is None else Path(log_path)
        self.verbose = verbose
        self.events: list[dict] = []
        self.trace: list[tuple[int, float]] = []
        self.seed = checks.count("seed", seed, least=0)
        self.validation = validation
        self._task_loss = TaskLoss(monitor, refresh=self.policy.average_steps)
        self._brake_from_best = (
            automatic
            or overfitting_patience is not None
            or (patience is not None and on_patience == "brake")
        )
        # Of all epochs, to be restored in the end, and of those since the last acceleration.
        self._best_weights = self._best_here = None
        self._epoch = 0

    def on_train_begin(self, logs=None):
        """Takes up the state in the optimizer and checks that braking is stable."""
        optimizer = self._optimizer()
        if not optimizer.initial_friction:
            raise ValueError(
                f"braking multiplies the friction by {self.factor:g}, and 0 stays 0: give PHS a "
                "friction > 0"
            )
        hardest = self.factor ** (self.policy.stages if self.policy.automatic else 1)
        optimizer.check_stable(optimizer.initial_friction * hardest)
        if self.log_path is not None:
            self.log_path.touch()  # a path that cannot be written fails now, not after an epoch
        state = BrakingState.from_vector(keras.ops.convert_to_numpy(optimizer.braking_state))
        self.policy.state = state
        if not state.steps:
            self.events, self.trace = [], []
            self._best_weights = self._best_here = None
        if self._best_weights is None:
            state.best = np.inf
        if self._best_here is None:
            state.best_here = np.inf

    def on_epoch_begin(self, epoch, logs=None):
        """A new running mean; what is stable is asked again, as a schedule changes α."""
        self._optimizer().check_stable(self._friction())
        self._epoch = epoch
        self._task_loss.begin_epoch()

    def on_train_batch_end(self, batch, logs=None):
        """Averages the loss and brakes if it has reached the goal."""
        event = self.policy.observe(*self._task_loss.read(self, batch, logs))
        steps = self.policy.state.steps
        due = not self.trace or steps - self.trace[-1][0] >= self.policy.average_steps / 2
        if due or event:
            self.trace.append((int(steps), self.policy.average))
        if event:
            self._carry_out(event)
        elif due:  # now and then, for a file saved within an epoch
            self._save_state()

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the best weights, and brakes or accelerates where an epoch's end decides it."""
        logs = {} if logs is None else logs
        average = self.policy.average
        is_best, is_best_here, event = self.policy.epoch_end(self._validated(logs))
        if is_best and self.restore_best_weights:
            self._best_weights = self.model.get_weights()
        if is_best_here and self._brake_from_best:
            self._best_here = self.model.get_weights()
        if event:
            self._carry_out(event)
        else:
            self._save_state()
        logs["friction"] = self._friction()
        self._log({"epoch": epoch, "loss": average, "friction": logs["friction"]})

    def on_train_end(self, logs=None):
        """Puts the best weights back, if asked for."""
        if self.restore_best_weights and self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def _validated(self, logs: dict) -> float | None:
        """What is watched on validation data, lower is better; None where there is nothing."""
        if self.validation in logs:
            value = logs[self.validation]
            higher = any(part in self.validation for part in ("acc", "auc"))
            return 1 - value if higher else value
        who = {
            'target="auto"': self.policy.automatic,
            "overfitting_patience": self.policy.overfitting_patience,
        }
        for name, watches in who.items():
            if watches:
                raise ValueError(
                    f"{name} watches {self.validation!r}, which is not in Keras' logs: give fit() "
                    "validation_data or validation_split, in every epoch, and compile() the metric"
                )
        return None

    def _carry_out(self, event: Event) -> None:
        optimizer = self._optimizer()
        reason = event.reason
        if event.action == "brake":
            harder = self.factor**self.policy.state.braking
            optimizer.friction = optimizer.initial_friction * harder
            if event.from_best and self._best_here is not None:
                self.model.set_weights(self._best_here)
                for momentum in _momenta(optimizer):
                    momentum.assign(np.zeros(momentum.shape, "float32"))
                reason += "; from the best weights"
        elif event.action == "accelerate":
            optimizer.friction = optimizer.initial_friction
            self._best_here = None
            self._accelerate(optimizer)
        elif event.action == "stop":
            self.model.stop_training = True
        self._save_state()
        record = {
            "step": int(self.policy.state.steps),
            "epoch": self._epoch,
            "action": event.action,
            "reason": reason,
            "loss": event.loss,
            "friction": self._friction(),
        }
        self.events.append(record)
        self._log(record)
        if self.verbose:
            print(f"\n{event.action} at step {record['step']}: {reason}", flush=True)

    def _accelerate(self, optimizer) -> None:
        """The port: momentum in a random direction that adds just the energy asked for."""
        # A direction for each minimum, the same when the training goes on from a file.
        random = np.random.default_rng((self.seed, int(self.policy.state.minima)))
        momenta = _momenta(optimizer)
        impulses = [random.standard_normal(p.shape) for p in momenta]
        # (‖p + s i‖² − ‖p‖²) / (2m) = E, solved for s.
        energy = self.port_energy * abs(self.policy.initial_loss)
        square = sum(np.sum(i**2) for i in impulses)
        along = sum(
            np.sum(i * keras.ops.convert_to_numpy(p))
            for i, p in zip(impulses, momenta, strict=True)
        )
        scale = (np.sqrt(along**2 + 2 * optimizer.mass * energy * square) - along) / square
        for momentum, impulse in zip(momenta, impulses, strict=True):
            momentum.assign_add((scale * impulse).astype("float32"))

    def _optimizer(self) -> PHS:
        return phs_of(self.model, "GoalOrientedBraking")

    def _friction(self) -> float:
        return float(keras.ops.convert_to_numpy(self._optimizer().friction))

    def _save_state(self) -> None:
        vector = np.array(self.policy.state.to_vector(), "float32")
        self._optimizer().braking_state.assign(vector)

    def _log(self, record: dict) -> None:
        if self.log_path is not None:
            # JSON knows no NaN and no infinity.
            record = {k: None if v in (np.inf, -np.inf) or v != v else v for k, v in record.items()}
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def _momenta(optimizer) -> list:
    """Those that there are: weights which their gradient overwrites (float8) have none."""
    return [p for p in optimizer.momenta if p is not None]
