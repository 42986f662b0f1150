"""A friction that is held back as long as the explicit step would diverge with it."""

from __future__ import annotations

import math
import warnings

from phs_optimizer.lookup import friction_of
from phs_optimizer.optimizer import PHS


class HeldFriction:
    """The friction that braking wants, of which an optimizer gets as much as is stable now.

    The largest stable friction changes with the time step α, so :meth:`keep_stable` is to be called
    regularly.

    Attributes:
        wanted: The friction that is being held back; None if it is not.
    """

    def __init__(self) -> None:
        self.wanted: float | None = None

    def keep_stable(self, optimizer: PHS, wanted: float | None = None) -> None:
        """Set the desired friction, or the largest one that is stable with the current α.

        Args:
            optimizer: The optimizer.
            wanted: The desired friction. By default the one being held back, or the current one.
        """
        present, held_back = friction_of(optimizer), self.wanted
        if wanted is None:
            wanted = present if held_back is None else held_back
        stable = optimizer.stable_friction(wanted)
        self.wanted = wanted if stable < wanted else None
        if self.wanted is not None and held_back is None:
            warnings.warn(
                f"With the time step α = {optimizer.time_step():g} the explicit friction step "
                f"would diverge at friction {wanted:g}. It is set to {stable:g} instead, the "
                "largest friction at which the momentum keeps its sign. Give PHS "
                'friction_step="exponential", which is stable for any friction',
                stacklevel=3,
            )
        if not math.isclose(stable, present, rel_tol=1e-6):
            optimizer.friction = stable

    def resume(self, optimizer: PHS, factor: float, brakings: int) -> None:
        """Find out whether the friction of a saved optimizer is being held back.

        Args:
            optimizer: The optimizer.
            factor: The factor on the friction of each braking.
            brakings: Number of brakings so far, at least 1.
        """
        present, wanted = friction_of(optimizer), optimizer.initial_friction * factor**brakings
        if math.isclose(present, wanted, rel_tol=1e-6):
            return
        if present < wanted and optimizer.stable_friction(wanted) < wanted:
            self.wanted = wanted
            return
        warnings.warn(
            f"GoalOrientedBraking resumes with friction {present:g}, but the initial "
            f"{optimizer.initial_friction:g} times factor={factor:g} for each braking is "
            f"{wanted:g}. The friction stays {present:g} until the next event. Was the training "
            "begun with another factor?",
            stacklevel=3,
        )
