"""The goal of a training: the three meanings of "breaking at x"."""

from __future__ import annotations

import math
from dataclasses import dataclass

from phs_optimizer import checks

MEANINGS = ("reduction", "remaining", "loss")


@dataclass(frozen=True)
class Goal:
    """A training loss to reach, in one of three meanings.

    With the initial loss L₀, the goal is reached at the loss (1 − x) L₀, x L₀ or x. The thesis'
    tables say "breaking at x" without saying which of the three they mean.

    Attributes:
        value: The number x.
        meaning: ``"reduction"``: the loss has fallen by the share x of its initial value.
            ``"remaining"``: the share x of its initial value is left. ``"loss"``: the loss
            itself is x.
    """

    value: float
    meaning: str = "reduction"

    def __post_init__(self):
        checks.choice("target_is", self.meaning, MEANINGS)
        if self.meaning == "loss":
            checks.number("target", self.value, "a loss, a finite number", lambda v: True)
            return
        other = {"reduction": "remaining", "remaining": "reduction"}[self.meaning]
        checks.number(
            "target",
            self.value,
            f'above 0 and below 1 with target_is="{self.meaning}" (a share of the initial loss; '
            f'a loss of 0 is never reached; see also target_is="{other}" and "loss")',
            lambda v: 0 < v < 1,
        )

    def loss(self, initial: float, ease: float = 1.0) -> float:
        """Return the loss at or below which the goal is reached.

        Args:
            initial: The initial loss, in the same units.
            ease: Required share of the way from the initial loss to the goal: 1 at first, and
                less after the goal was adjusted because it had not been reached.

        Raises:
            ValueError: If the goal is a share of the initial loss, and that is negative.
        """
        if initial < 0 and self.meaning != "loss":
            raise ValueError(
                f'target_is="{self.meaning}" is a share of the initial loss, which must be '
                f'positive, not {initial:g}; give the loss itself with target_is="loss"'
            )
        goal = {
            "reduction": (1 - self.value) * initial,
            "remaining": self.value * initial,
            "loss": self.value,
        }[self.meaning]
        return ease * goal + (1 - ease) * initial

    def value_for(self, loss: float, initial: float) -> float | None:
        """Return a value x, to three significant digits, whose goal the loss has reached.

        Args:
            loss: The loss that was reached.
            initial: The initial loss, in the same units.

        Returns:
            x, rounded so that the loss still reaches it. None if no x is allowed, because the
            loss has not fallen.
        """
        if self.meaning == "loss":
            exact = loss
        elif 0 < loss < initial:
            exact = loss / initial if self.meaning == "remaining" else 1 - loss / initial
        else:
            return None
        digit = 10.0 ** (math.floor(math.log10(abs(exact) or 1.0)) - 2)
        away = math.floor if self.meaning == "reduction" else math.ceil
        value = away(exact / digit) * digit
        return value if self.meaning == "loss" or 0 < value < 1 else None
