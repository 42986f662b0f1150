"""When to brake, to brake from the best weights, to adjust the goal, and to accelerate again.

Pure arithmetic on losses, without Keras: :class:`phs_optimizer.GoalOrientedBraking` feeds it and
carries out what it decides, and a training loop of one's own can do the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phs_optimizer import checks
from phs_optimizer.goal import Goal
from phs_optimizer.state import BrakingState

INITIAL_STEPS = 10
AUTO = "auto"
# Of automatic braking: epochs without a better validation loss, and how often it brakes.
PATIENCE = 4
STAGES = 2
ON_PATIENCE = ("brake", "adjust")


@dataclass(frozen=True)
class Event:
    """Something the policy decided.

    Attributes:
        action: ``"brake"``, ``"adjust"`` (the goal), ``"accelerate"`` or ``"stop"`` (training).
        reason: Why, in words.
        loss: Average loss at that moment.
        from_best: Whether to go back to the best weights since the last acceleration first.
    """

    action: str
    reason: str
    loss: float
    from_best: bool = False


class BrakingPolicy:
    """The state machine of goal-oriented braking.

    ::

        exploring ── goal reached, patience over, or overfitting ──> exploiting
            ^   └── patience over: goal adjusted ──┐                     │
            └───────────────────────────────────────┘                     │
            └── `exploitation` epochs over and minima left: accelerate ───┘

    With the goal ``"auto"`` there is no goal: each time validation has stopped improving it brakes
    harder, and after the last of these stages it stops.

    ::

        exploring ── stalled ──> braking ── stalled ──> `stages`-th braking ── stalled ──> stop

    The arguments are those of :class:`phs_optimizer.GoalOrientedBraking`, which says what they
    mean.

    Raises:
        ValueError: A value out of its range, or an option without the one that it belongs to.
    """

    def __init__(
        self,
        target: float | str,
        target_is: str = "reduction",
        average_steps: int = 100,
        initial_loss: float | None = None,
        patience: int | None = None,
        on_patience: str = "brake",
        adjustment: float = 0.9,
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
            raise ValueError(f'stages={stages!r} is for target="auto", which brakes in stages')
        if isinstance(target, str) and not self.automatic:
            raise ValueError(f'target must be a number or "{AUTO}", got {target!r}')
        self.goal = None if isinstance(target, str) else Goal(target, target_is)
        self.stages = checks.count("stages", stages)
        self.average_steps = checks.count("average_steps", average_steps)
        if initial_loss is not None:
            initial_loss = checks.number("initial_loss", initial_loss, "> 0", lambda v: v > 0)
        self.given_initial_loss = initial_loss
        self.patience = None if patience is None else checks.count("patience", patience)
        checks.choice("on_patience", on_patience, ON_PATIENCE)
        if on_patience == "adjust" and patience is None:
            raise ValueError('on_patience="adjust" needs patience=, the epochs to wait')
        self.on_patience = on_patience
        self.adjustment = checks.number(
            "adjustment", adjustment, "above 0 and below 1", lambda v: 0 < v < 1
        )
        if overfitting_patience is not None:
            checks.count("overfitting_patience", overfitting_patience)
        self.overfitting_patience = overfitting_patience
        self.minima = checks.count("minima", minima)
        if exploitation is not None:
            checks.count("exploitation", exploitation)
        if (self.minima > 1) != (exploitation is not None):
            raise ValueError(
                f"minima={minima} with exploitation={exploitation}: to visit several minima give "
                "minima > 1 and exploitation=, the epochs in each; for one give neither"
            )
        self.exploitation = exploitation
        self.begin()

    def begin(self, state: BrakingState | None = None) -> None:
        """Begin a training, or go on with one.

        Args:
            state: Where it stands; by default at its beginning. The bests belong to weights that
                the state does not hold, so they are looked for again from here on.
        """
        self.state = BrakingState() if state is None else state
        # Of the criterion: of all epochs, and of those since the last acceleration.
        self.best = self.best_here = math.inf
        # Lowest average that the goal was compared with.
        self.lowest = math.inf

    @property
    def average(self) -> float:
        """Moving average of the task loss; NaN before the first step."""
        state = self.state
        return state.average / state.weight if state.weight else math.nan

    @property
    def initial_loss(self) -> float:
        """The loss that the goal refers to, as given or as measured in the first steps."""
        return self.given_initial_loss or self.state.initial_loss

    @property
    def target_loss(self) -> float:
        """The loss at which the brakes are applied, with the adjustments made so far.

        NaN with the goal ``"auto"``, which is no loss.
        """
        if self.goal is None:
            return math.nan
        return self.goal.loss(self.initial_loss, self.state.ease)

    def observe(self, loss: float, steps: int = 1) -> Event | None:
        """Takes in the mean task loss of the next ``steps`` training steps.

        Args:
            loss: Mean task loss over these steps, without regularization terms.
            steps: Number of steps, ``steps_per_execution`` for instance.

        Returns:
            An event if the goal has been reached with them.
        """
        state = self.state
        if state.steps < INITIAL_STEPS:
            share = min(steps, INITIAL_STEPS - state.steps)
            seen = state.steps + share
            state.initial_loss += (loss - state.initial_loss) * share / seen
        state.steps += steps
        keep = (1 - 1 / self.average_steps) ** steps
        state.average = keep * state.average + (1 - keep) * loss
        state.weight = keep * state.weight + 1 - keep
        # Not before the average has seen as many steps as it is long: one batch may be lucky.
        whole = 1 - (1 - 1 / self.average_steps) ** self.average_steps
        ready = not state.braking and state.weight >= whole * (1 - 1e-6)
        if ready:
            self.lowest = min(self.lowest, self.average)
        if not (ready and self.average <= self.target_loss):  # a NaN reaches no goal
            return None
        return self._brake(f"loss {self.average:.4g} reached the goal {self.target_loss:.4g}")

    def epoch_end(self, validation_loss: float | None = None) -> tuple[bool, bool, Event | None]:
        """Takes in the end of an epoch.

        Args:
            validation_loss: Loss on validation data, where there is one, or another number that is
                better lower.

        Returns:
            Whether the weights are the best so far, whether they are the best since the last
            acceleration (by the validation loss where it is given, by the average training loss
            otherwise), and an event, if one is due.
        """
        state = self.state
        state.epochs += 1
        criterion = self.average if validation_loss is None else validation_loss
        is_best, is_best_here = criterion < self.best, criterion < self.best_here
        self.best, self.best_here = min(self.best, criterion), min(self.best_here, criterion)
        if validation_loss is not None:
            improved = validation_loss < state.best_validation
            state.best_validation = min(state.best_validation, validation_loss)
            state.stale = 0 if improved else state.stale + 1
        if self.automatic:
            event = self._stalled()
        else:
            event = self._after_exploitation() if state.braking else self._without_goal()
        return is_best, is_best_here, event

    def unreached(self) -> str | None:
        """Return why it has never braked, in words; None if it has, or brakes without a goal."""
        state = self.state
        if self.goal is None or state.minima or not state.steps:
            return None
        if math.isnan(self.average):
            return "never braked: the average loss is not a number"
        if math.isinf(self.lowest):
            seen = f"the training had {state.steps:.0f} steps, and the average is of"
            return f"never braked: {seen} {self.average_steps} (average_steps)"
        told = (
            f"never braked: the lowest average loss was {self.lowest:.4g}, and the goal is "
            f"{self.target_loss:.4g}"
        )
        value = self.goal.value_for(self.lowest, self.initial_loss)
        return told if value is None else f"{told}; target={value:.3g} would have braked"

    def _without_goal(self) -> Event | None:
        state = self.state
        if self.overfitting_patience and state.stale >= self.overfitting_patience:
            return self._brake(
                f"overfitting: validation loss above its best for {state.stale:.0f} epochs", True
            )
        if self.patience is None or state.epochs < self.patience:
            return None
        waited = f"goal {self.target_loss:.4g} not reached in {state.epochs:.0f} epochs"
        if self.on_patience == "brake":
            return self._brake(waited, from_best=True)
        state.ease *= self.adjustment
        state.epochs = 0
        return Event("adjust", f"{waited}; it is {self.target_loss:.4g} now", self.average)

    def _stalled(self) -> Event | None:
        state = self.state
        if self.patience is None or state.stale < self.patience:
            return None
        reason = (
            f"nothing better on validation data than {state.best_validation:.4g} for "
            f"{state.stale:.0f} epochs"
        )
        if state.braking >= self.stages:
            return Event("stop", reason, self.average)
        return self._brake(reason, from_best=True)

    def _after_exploitation(self) -> Event | None:
        state = self.state
        if self.exploitation is None or state.epochs < self.exploitation:
            return None
        if state.minima >= self.minima:
            return None
        reason = (
            f"minimum {state.minima:.0f} of {self.minima} exploited for {state.epochs:.0f} epochs"
        )
        loss = self.average
        # A new average, or the old one would brake at once.
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
    """Say which options were given that automatic braking has no use for."""
    if names := [name for name, was_given in given.items() if was_given]:
        raise ValueError(
            f'target="auto" finds the moment by the validation loss: leave out {", ".join(names)}, '
            "or give a goal as target"
        )
