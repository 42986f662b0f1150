"""The schedule of a race: two rungs, then a cooldown of the two best candidates.

An epoch of a network that fills the budget ζ costs 1. Each candidate fills half of ζ, so its epochs
cost 1/2. For T epochs in total and n candidates::

    rung 1     all n candidates    0.2·2T/n epochs each   keeps three, the best of each depth first
    rung 2     these three         0.2·2T/3 epochs each   keeps the best two
    cooldown   these two           all epochs that are left, divided equally

The two stand beside each other in the final network, whose logits are the mean of theirs. They make
different mistakes, so together they are better than one network that fills ζ.

Deep, narrow networks learn slowly at first. So the first, short rung compares only networks of the
same depth if possible, and the second, longer rung compares depths. The learning rate is constant
until the cooldown, so every candidate can continue from its rung, and the winners need not be known
in advance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resbuilder.variants import COOLDOWN, RUNGS, WHOLE

#: The number of candidates in the final network, each with the same part of the budget.
TRUNKS = 2
#: The fraction of all epochs for each rung, and the number of candidates kept after the first.
RUNG_SHARE, KEPT = 0.2, 3


@dataclass(frozen=True)
class RacePlan:
    """The epochs of a race: total · trunks ≥ Σ starters · rungs + trunks · cooldown.

    Attributes:
        total: Epochs of all candidates together, counted for a network that fills the budget.
        trunks: Number of networks in the final one; an epoch of a candidate costs 1/trunks.
        starters: Number of networks in each rung.
        rungs: Epochs of each network in each rung.
        cooldown: Epochs of each network in the cooldown.
    """

    total: int
    trunks: int
    starters: tuple[int, ...]
    rungs: tuple[int, ...]
    cooldown: int

    def epochs(self, variant: str) -> int:
        """Return the epochs of a training: of a rung, of the cooldown, or of a contender."""
        if variant in RUNGS:
            return self.rungs[RUNGS.index(variant)]
        return {COOLDOWN: self.cooldown, WHOLE: self.total}[variant]

    def cost(self, variant: str, epochs: int) -> float:
        """Return the cost of a training, in epochs of a network that fills the budget."""
        return epochs if variant == WHOLE else epochs / self.trunks

    def before(self, variant: str) -> str | None:
        """Return the training whose weights another one starts from; None for random weights."""
        behind = {COOLDOWN: len(self.rungs), WHOLE: 0}.get(variant)
        rungs = RUNGS[: RUNGS.index(variant) if behind is None else behind]
        return rungs[-1] if rungs else None

    def stay(self, rung: int) -> int:
        """Return how many networks remain after a rung, with rungs counted from 0."""
        return (*self.starters[1:], self.trunks)[rung]

    def __str__(self) -> str:
        rungs = [f"{n} × {e}" for n, e in zip(self.starters, self.rungs, strict=True)]
        parts = " + ".join((*rungs, f"{self.trunks} × {self.cooldown} (cooldown)"))
        return f"{self.total} epochs = " + (f"({parts}) / {self.trunks}" if rungs else parts)


def race_plan(total: int, candidates: int) -> RacePlan:
    """Divide the epochs of a race.

    Args:
        total: Epochs of all candidates together, counted for a network that fills the budget.
        candidates: Number of candidates.

    Raises:
        ValueError: If there are too few epochs.
    """
    trunks = min(TRUNKS, candidates)
    # There is no rung from which all networks would go on.
    starters = [n for n in (candidates, min(candidates, KEPT)) if n > trunks]
    starters = list(dict.fromkeys(starters))
    least = -(-sum(starters) // trunks) + 1
    if total < least:
        raise ValueError(
            f"total_epochs {total} is too small for a race of {candidates} candidates: it must be "
            f"at least {least}, so that each network has an epoch in each rung and in the cooldown"
        )
    # Each network gets one epoch, and up to its share more; what is spare goes to the cooldown.
    epochs = total * trunks
    rungs, spare = [], epochs - sum(starters) - trunks
    for n in starters:
        more = min(max(0, round(RUNG_SHARE * epochs / n) - 1), spare // n)
        rungs.append(1 + more)
        spare -= n * more
    return RacePlan(total, trunks, tuple(starters), tuple(rungs), 1 + spare // trunks)


def survivors(
    losses: Sequence[float | None], depths: Sequence[int], stay: int, across: bool = False
) -> list[int]:
    """Return which networks remain: the best of each depth, then the best of the others.

    Args:
        losses: Validation cross-entropy of each network; one with None, as its loss was not
            finite, drops out.
        depths: Blocks per stage of each network.
        stay: The most networks that remain.
        across: Whether to ignore depth.

    Returns:
        Indices into ``losses``, the best first.
    """
    finite = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    order = [place for _, place in sorted(finite)]
    first: dict[int, int] = {}
    for place in order:
        first.setdefault(depths[place], place)
    chosen = [] if across else list(first.values())
    chosen = (chosen + [place for place in order if place not in chosen])[:stay]
    return sorted(chosen, key=order.index)


def averaging_decay(images: int, batch_size: int) -> float:
    """Return the decay with which weights are averaged in rungs: over about one epoch.

    Args:
        images: Training images.
        batch_size: Images per batch.
    """
    steps = -(-images // batch_size)
    return min(0.9999, max(0.9, 1 - 1 / steps))
