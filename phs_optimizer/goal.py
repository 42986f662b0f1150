"""When the goal of a training is reached: the three meanings of "braking at x"."""

from __future__ import annotations

from dataclasses import dataclass

from phs_optimizer import checks

MEANINGS = ("reduction", "remaining", "loss")


@dataclass(frozen=True)
class Goal:
    """A training loss to reach, in one of three meanings.

    The thesis' tables say "breaking at x" and leave open which of them x is.

    Attributes:
        value: The number x.
        meaning: ``"reduction"``: the loss has fallen by the share x of its initial value;
            ``"remaining"``: the share x of the initial value is left; ``"loss"``: the loss
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
        """The loss at or below which the goal is reached.

        Args:
            initial: The initial loss, in the same units.
            ease: Share of the way from the initial loss to the goal that is asked for: 1 at
                first, less after the goal has been adjusted because it was not reached.

        Returns:
            The loss to reach.

        Raises:
            ValueError: A share of an initial loss that is negative.
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
