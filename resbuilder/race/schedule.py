"""Who trains for how many epochs in a race: two rungs, then a cooldown of the winner.

::

    rung 1     every candidate   0.2·T/n epochs each   three go on, the best of each depth first
    rung 2     these three       0.2·T/3 epochs each   the best goes on
    cooldown   the winner        all epochs that are left, of T

Deep, narrow networks start slowly. So the first rung, which is short, compares only networks of one
depth where it can, and the second, longer one compares depths. Rates are constant until the
cooldown, so nothing that was learned is lost, and nobody must know in advance who will win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resbuilder.variants import COOLDOWN, RUNGS, WHOLE

#: Share of the epochs that each rung takes, and how many stay after the first.
RUNG_SHARE, KEPT = 0.2, 3


@dataclass(frozen=True)
class RacePlan:
    """Epochs of a race of T in all.

    Attributes:
        total: T.
        starters: Networks in each rung.
        rungs: Epochs of each network in a rung.
        cooldown: Epochs of the cooldown.
    """

    total: int
    starters: tuple[int, ...]
    rungs: tuple[int, ...]
    cooldown: int

    def epochs(self, variant: str) -> int:
        """Return the epochs of a training: of a rung, the cooldown, or a contender's."""
        if variant in RUNGS:
            return self.rungs[RUNGS.index(variant)]
        return {COOLDOWN: self.cooldown, WHOLE: self.total}[variant]

    def before(self, variant: str) -> str | None:
        """Return the training whose weights another one goes on from; None for random weights."""
        behind = {COOLDOWN: len(self.rungs), WHOLE: 0}.get(variant)
        rungs = RUNGS[: RUNGS.index(variant) if behind is None else behind]
        return rungs[-1] if rungs else None

    def stay(self, rung: int) -> int:
        """Return how many networks go on after a rung, counted from 0."""
        return (*self.starters[1:], 1)[rung]

    def __str__(self) -> str:
        rungs = (f"{n} × {e}" for n, e in zip(self.starters, self.rungs, strict=True))
        return f"{self.total} epochs: {' + '.join((*rungs, f'cooldown {self.cooldown}'))}"


def race_plan(total: int, candidates: int) -> RacePlan:
    """Divide the epochs of a race.

    Args:
        total: T, epochs of all candidates together.
        candidates: How many there are.

    Raises:
        ValueError: If there are too few epochs.
    """
    starters = [n for n in (candidates, min(candidates, KEPT)) if n > 1]
    starters = list(dict.fromkeys(starters))
    if total < (least := sum(starters) + 1):
        raise ValueError(
            f"total_epochs {total} is too small for a race of {candidates} candidates: it needs at "
            f"least {least}, one for each network in each rung and one for the cooldown"
        )
    rungs, spare = [], total - least  # beyond one epoch for each
    for n in starters:
        more = min(max(0, round(RUNG_SHARE * total / n) - 1), spare // n)
        rungs.append(1 + more)
        spare -= n * more
    return RacePlan(total, tuple(starters), tuple(rungs), 1 + spare)


def survivors(
    losses: Sequence[float | None], depths: Sequence[int], stay: int, across: bool = False
) -> list[int]:
    """Return which networks go on: the best of each depth, then the best of the others.

    Args:
        losses: Validation cross-entropy of each; None, where it was not finite, is out.
        depths: Blocks in a stage of each.
        stay: How many go on, at most.
        across: Whether depth is ignored.

    Returns:
        Places in ``losses``, the best first.
    """
    finite = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    order = [place for _, place in sorted(finite)]
    first: dict[int, int] = {}
    for place in order:
        first.setdefault(depths[place], place)
    chosen = [] if across else list(first.values())
    chosen = (chosen + [place for place in order if place not in chosen])[:stay]
    return sorted(chosen, key=order.index)
