"""The decisions of goal-oriented braking: when to brake, adjust the goal, accelerate or stop.

This is pure arithmetic on losses, without Keras. :class:`phs_optimizer.GoalOrientedBraking` feeds
it losses and carries out its decisions; a custom training loop can do the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phs_optimizer import checks
from phs_optimizer.goal import Goal
from phs_optimizer.state import BrakingState

INITIAL_STEPS = 10
AUTO = "auto"
# Defaults of automatic braking: epochs without a better validation loss; number of brakings.
PATIENCE = 4
STAGES = 2
ON_PATIENCE = ("brake", "adjust")
ADJUSTMENT = 0.9


@dataclass(frozen=True)
class Event:
    """A decision of the policy.

    Attributes:
        action: ``"brake"``, ``"adjust"`` (the goal), ``"accelerate"`` or ``"stop"`` (training).
        reason: The reason in words.
        loss: Average loss at the time of the decision.
        from_best: Whether to restore the best weights since the last acceleration first.
    """

    action: str
    reason: str
    loss: float
    from_best: bool = False


class BrakingPolicy:
    """State machine of goal-oriented braking.

    With a goal::

        exploring ── goal reached, patience over, or overfitting ──> exploiting
            ^                                                             │
            ├── patience over: the goal is adjusted, still exploring      │
            └── `exploitation` epochs over and minima left: accelerate ───┘

    Without a goal (``"auto"``), the policy brakes harder each time validation has stopped
    improving, and stops at the next stall after the last of these stages::

        exploring ── stalled ──> braking ── stalled ──> `stages`-th braking ── stalled ──> stop

    Invariants:

    - ``state.braking`` is 0 exactly while exploring, and the friction is to be
      γ₀ · factor^``state.braking``, where γ₀ is the initial friction.
    - After k steps with the losses L₁ … L_k since the start or the last acceleration,
      :attr:`average` is Σ qᵏ⁻ⁱ Lᵢ / Σ qᵏ⁻ⁱ with q = 1 − 1/n and n = ``average_steps``. The goal is
      compared with it only for k ≥ n, so that a single lucky batch does not brake.
    - ``state`` determines every later decision except which weights are the best; those are
      known only since :meth:`begin`.

    :class:`phs_optimizer.GoalOrientedBraking` explains the arguments.

    Raises:
        ValueError: If a value is out of range, or an option lacks the one it depends on.
    """

    def __init__(
        self,
        target: float | str,
        target_is: str = "reduction",
        average_steps: int = 100,
        initial_loss: float | None = None,
        patience: int | None = None,
        on_patience: str = "brake",
        adjustment: float = ADJUSTMENT,
        overfitting_patience: int | None = None,
        minima: int = 1,
        exploitation: int | None = None,
        stages: int = STAGES,
    ):
        self.automatic = target == AUTO
        if self.automatic:
            _refuse(
                target_is=target_is != "reduction",
                initial_loss=initial_loss is not None,
                on_patience=on_patience != "brake",
                overfitting_patience=overfitting_patience is not None,
                minima=minima != 1,
                exploitation=exploitation is not None,
            )
            patience = PATIENCE if patience is None else patience
        elif stages != STAGES:
            raise ValueError(f'stages={stages!r} is only for target="auto"; leave out stages')
        if isinstance(target, str) and not self.automatic:
            raise ValueError(f'target must be a number or "{AUTO}", not {target!r}')
        self.goal = None if isinstance(target, str) else Goal(target, target_is)
        self.stages = checks.count("stages", stages)
        self.average_steps = checks.count("average_steps", average_steps)
        if initial_loss is not None:
            initial_loss = checks.number("initial_loss", initial_loss, "> 0", lambda v: v > 0)
        self.given_initial_loss = initial_loss
        self.patience = None if patience is None else checks.count("patience", patience)
        checks.choice("on_patience", on_patience, ON_PATIENCE)
        if on_patience == "adjust" and patience is None:
            raise ValueError('on_patience="adjust" needs patience, the number of epochs to wait')
        self.on_patience = on_patience
        self.adjustment = checks.number(
            "adjustment", adjustment, "above 0 and below 1", lambda v: 0 < v < 1
        )
        if adjustment != ADJUSTMENT and on_patience != "adjust":
            raise ValueError('adjustment is only for on_patience="adjust"; leave out adjustment')
        if overfitting_patience is not None:
            checks.count("overfitting_patience", overfitting_patience)
        self.overfitting_patience = overfitting_patience
        self.minima = checks.count("minima", minima)
        if exploitation is not None:
            checks.count("exploitation", exploitation)
        if (self.minima > 1) != (exploitation is not None):
            raise ValueError(
                f"minima={minima} with exploitation={exploitation}: to visit several minima, give "
                "minima > 1 and exploitation, the number of epochs in each; for one, give neither"
            )
        self.exploitation = exploitation
        self.begin()

    def begin(self, state: BrakingState | None = None) -> None:
        """Start a training, or resume one.

        Args:
            state: State to resume from; by default a new training. The state does not include
                the best weights, so the search for the best starts again from here.
        """
        self.state = BrakingState() if state is None else state
        # Best criterion of all epochs, and of the epochs since the last acceleration.
        self.best = self.best_here = math.inf
        self.validated = False  # whether an epoch had a validation loss
        # Lowest average that was compared with the goal.
        self.lowest = math.inf
        self.lost = False  # whether the loss of the latest steps was not finite

    @property
    def average(self) -> float:
        """Moving average of the task loss; NaN before the first step of a phase."""
        state = self.state
        return state.average / state.weight if state.weight else math.nan

    @property
    def initial_loss(self) -> float:
        """Loss that a relative goal refers to, as given or as measured in the first steps."""
        return self.given_initial_loss or self.state.initial_loss

    @property
    def target_loss(self) -> float:
        """Loss at which to brake, including the adjustments made so far.

        NaN with ``"auto"``, which has no goal.
        """
        if self.goal is None:
            return math.nan
        return self.goal.loss(self.initial_loss, self.state.ease)

    def observe(self, loss: float, steps: int = 1) -> Event | None:
        """Record the mean task loss of the next ``steps`` training steps.

        Steps whose loss is not finite are counted but not averaged: such a step may be followed by
        others that are, as under a ``LossScaleOptimizer``, which skips it.

        Args:
            loss: Mean task loss over these steps, without regularization terms.
            steps: Number of steps, for example ``steps_per_execution``.

        Returns:
            The decision to brake if these steps have reached the goal, otherwise None.
        """
        state = self.state
        self.lost = not math.isfinite(loss)
        if self.lost:
            state.steps += steps
            return None
        if state.steps < INITIAL_STEPS:
            if not state.weight:  # The first loss counts for the lost steps before it, too.
                state.initial_loss = loss
            share = min(steps, INITIAL_STEPS - state.steps)
            seen = state.steps + share
            state.initial_loss += (loss - state.initial_loss) * share / seen
        state.steps += steps
        keep = (1 - 1 / self.average_steps) ** steps
        state.average = keep * state.average + (1 - keep) * loss
        state.weight = keep * state.weight + 1 - keep
        # The weight 1 − qᵏ grows with the steps k of the phase, so this asks whether k ≥ n.
        weight_of_n = 1 - (1 - 1 / self.average_steps) ** self.average_steps
        ready = not state.braking and state.weight >= weight_of_n * (1 - 1e-6)
        if ready:
            self.lowest = min(self.lowest, self.average)
        if not (ready and self.average <= self.target_loss):  # NaN reaches no goal
            return None
        return self._brake(f"loss {self.average:.4g} reached the goal {self.target_loss:.4g}")

    def epoch_end(self, validation_loss: float | None = None) -> tuple[bool, bool, Event | None]:
        """Record the end of an epoch.

        Args:
            validation_loss: Loss on validation data if there is any, or another number where
                lower is better.

        Returns:
            Whether the weights are the best so far; whether they are the best since the last
            acceleration; and a decision or None. The best weights have the lowest validation
            loss of all epochs with one. Before the first of these, the average training loss
            counts.
        """
        state = self.state
        state.epochs += 1
        if validation_loss is None:
            criterion = math.inf if self.validated else self.average
        else:
            criterion = validation_loss
            if not self.validated:  # best so far were training losses, which are lower
                self.validated, self.best, self.best_here = True, math.inf, math.inf
        is_best, is_best_here = criterion < self.best, criterion < self.best_here
        self.best, self.best_here = min(self.best, criterion), min(self.best_here, criterion)
        if validation_loss is not None:
            improved = validation_loss < state.best_validation
            state.best_validation = min(state.best_validation, validation_loss)
            state.stale = 0 if improved else state.stale + 1
        if self.automatic:
            event = self._brake_if_stalled()
        else:
            event = self._end_exploitation() if state.braking else self._end_exploration()
        return is_best, is_best_here, event

    def unreached(self) -> str | None:
        """Return in words why the policy never braked; None if it did, or if it has no goal."""
        state = self.state
        if self.goal is None or state.minima or not state.steps:
            return None
        if self.lost:
            return "never braked: the average loss is not a number (NaN)"
        if math.isinf(self.lowest):
            seen = f"the training had {state.steps:.0f} steps, but the average needs"
            return f"never braked: {seen} {self.average_steps} (average_steps)"
        explanation = (
            f"never braked: the lowest average loss was {self.lowest:.4g}, and the goal is "
            f"{self.target_loss:.4g}"
        )
        value = self.goal.value_for(self.lowest, self.initial_loss)
        return (
            explanation if value is None else f"{explanation}; target={value:.3g} would have braked"
        )

    def _end_exploration(self) -> Event | None:
        """Brake or adjust the goal if an epoch ends without the goal being reached."""
        state = self.state
        if self.overfitting_patience and state.stale >= self.overfitting_patience:
            return self._brake(
                f"overfitting: nothing better on validation data for {state.stale:.0f} epochs",
                from_best=True,
            )
        if self.patience is None or state.epochs < self.patience:
            return None
        waited = f"goal {self.target_loss:.4g} not reached in {state.epochs:.0f} epochs"
        if self.on_patience == "brake":
            return self._brake(waited, from_best=True)
        state.ease *= self.adjustment
        state.epochs = 0
        return Event("adjust", f"{waited}; it is {self.target_loss:.4g} now", self.average)

    def _brake_if_stalled(self) -> Event | None:
        """With ``"auto"``: brake, or stop after the last stage, if validation has stalled."""
        state = self.state
        if self.patience is None or state.stale < self.patience:
            return None
        reason = f"nothing better on validation data for {state.stale:.0f} epochs"
        if state.braking >= self.stages:
            return Event("stop", reason, self.average)
        return self._brake(reason, from_best=True)

    def _end_exploitation(self) -> Event | None:
        """Accelerate if the minimum has been exploited for long enough and others are left."""
        state = self.state
        if self.exploitation is None or state.epochs < self.exploitation:
            return None
        if state.minima >= self.minima:
            return None
        reason = (
            f"minimum {state.minima:.0f} of {self.minima} exploited for {state.epochs:.0f} epochs"
        )
        loss = self.average
        # Start a new average; the old one has reached the goal and would brake at once.
        state.braking = state.average = state.weight = state.epochs = state.stale = 0.0
        self.best_here = state.best_validation = math.inf
        return Event("accelerate", reason, loss)

    def _brake(self, reason: str, from_best: bool = False) -> Event:
        state = self.state
        state.minima += state.braking == 0
        state.braking += 1
        state.epochs = state.stale = 0.0
        return Event("brake", reason, self.average, from_best)


def _refuse(**given: bool) -> None:
    """Raise ValueError for options that were given but do not apply to automatic braking."""
    if names := [name for name, was_given in given.items() if was_given]:
        raise ValueError(
            f'target="auto" decides by validation results: leave out {", ".join(names)}, '
            "or give a goal as target"
        )
