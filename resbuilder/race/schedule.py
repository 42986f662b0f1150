"""The schedule of a race: a trial of all candidates, then a cooldown of the best two together.

An epoch of a network that fills the budget ζ costs 1. Each candidate fills half of ζ, so its epochs
cost 1/2. For T epochs in total and n candidates::

    trial      all n candidates    2T/5n epochs each
    cooldown   the best two        all epochs that are left, divided equally
    result     both, or the better one if its validation loss is lower than theirs together

The final network has both as its trunks, and its logits are the mean of theirs. Networks that make
different mistakes gain most by that. So the two are chosen together: of all pairs, the one whose
mean logits have the lowest validation loss.

Networks that begin at a low resolution learn fast at first, so a very short trial would favor
them. With a third of all epochs for the trial, on the other hand, too few were left for the
cooldown (docs/chapter6.md). The learning rate of the trial is constant, so each candidate can
continue from it, and the winners need not be known in advance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import log_softmax

from resbuilder.variants import COOLDOWN, TRIAL, WHOLE

#: The number of candidates in the final network, each with the same part of the budget.
TRUNKS = 2
#: The fraction of all epochs for the trial.
TRIAL_SHARE = 1 / 5


@dataclass(frozen=True)
class RacePlan:
    """The epochs of a race: total · trunks ≥ candidates · trial + trunks · cooldown.

    Attributes:
        total: Epochs of all candidates together, counted for a network that fills the budget.
        candidates: Number of candidates.
        trunks: Number of networks in the final one; an epoch of a candidate costs 1/trunks.
        trial: Epochs of each candidate in the trial; 0 if all of them remain anyway.
        cooldown: Epochs of each remaining candidate in the cooldown.
    """

    total: int
    candidates: int
    trunks: int
    trial: int
    cooldown: int

    def epochs(self, variant: str) -> int:
        """Return the epochs of a training: of the trial, the cooldown, or a contender."""
        return {TRIAL: self.trial, COOLDOWN: self.cooldown, WHOLE: self.total}[variant]

    def cost(self, variant: str, epochs: int) -> float:
        """Return the cost of a training, in epochs of a network that fills the budget."""
        return epochs if variant == WHOLE else epochs / self.trunks

    @property
    def spent(self) -> float:
        """The epochs of the candidates; a remainder that cannot be divided equally is left."""
        return (self.candidates * self.trial + self.trunks * self.cooldown) / self.trunks

    def __str__(self) -> str:
        trial = f"{self.candidates} × {self.trial} (trial) + " if self.trial else ""
        cooldown = f"{self.trunks} × {self.cooldown} (cooldown)"
        rest = "" if self.spent == self.total else f" of {self.total}"
        return f"{self.spent:g}{rest} epochs = ({trial}{cooldown}) / {self.trunks}"


def least_epochs(candidates: int, trial: int) -> int:
    """Return the fewest epochs in total with which each candidate has ``trial`` in the trial.

    Args:
        candidates: Number of candidates.
        trial: Epochs of each candidate; without a trial, because all candidates remain, 1 is
            returned.
    """
    trunks = min(TRUNKS, candidates)
    if candidates == trunks:
        return 1
    total = -(-candidates // trunks) + 1
    while race_plan(total, candidates).trial < trial:
        total += 1
    return total


def race_plan(total: int, candidates: int) -> RacePlan:
    """Divide the epochs of a race.

    Args:
        total: Epochs of all candidates together, counted for a network that fills the budget.
        candidates: Number of candidates.

    Raises:
        ValueError: If there are too few epochs.
    """
    trunks = min(TRUNKS, candidates)
    if candidates == trunks:
        return RacePlan(total, candidates, trunks, 0, total)
    least = -(-candidates // trunks) + 1
    if total < least:
        raise ValueError(
            f"total_epochs {total} is too small for a race of {candidates} candidates: it must be "
            f"at least {least}, so that each has an epoch in the trial and in the cooldown"
        )
    epochs = total * trunks
    most = (epochs - trunks) // candidates
    trial = min(most, max(1, round(TRIAL_SHARE * epochs / candidates)))
    return RacePlan(total, candidates, trunks, trial, (epochs - candidates * trial) // trunks)


def best_together(
    losses: Sequence[float | None],
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    count: int,
    fewer: bool = False,
) -> tuple[list[int], float | None]:
    """Return the networks whose mean logits have the lowest cross-entropy.

    Args:
        losses: Cross-entropy of each network alone; one with None, as its loss was not finite,
            drops out.
        logits: Logits of each network, (images, classes).
        labels: Class numbers (images,).
        count: Number of networks to return, if that many losses are finite.
        fewer: Whether to return fewer networks if these have a lower cross-entropy.

    Returns:
        Indices into ``losses``, the best alone first, and the cross-entropy of their mean logits;
        None if no loss was finite.
    """
    finite = sorted(i for i, loss in enumerate(losses) if loss is not None)
    if not finite:
        return [], None
    most = min(count, len(finite))
    found = [
        (cross_entropy(np.mean([logits[i] for i in chosen], 0), labels), chosen)
        for size in range(1 if fewer else most, most + 1)
        for chosen in combinations(finite, size)
    ]
    loss, chosen = min(found)
    return sorted(chosen, key=lambda i: (losses[i], i)), loss


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of logits (images, classes) for labels (images,)."""
    logarithms = log_softmax(logits.astype("float64"), axis=1)
    return float(-logarithms[np.arange(len(labels)), labels].mean())


def averaging_decay(images: int, batch_size: int) -> float:
    """Return the decay with which weights are averaged in the trial: over about one epoch.

    Args:
        images: Training images.
        batch_size: Images per batch.
    """
    steps = -(-images // batch_size)
    return min(0.9999, max(0.9, 1 - 1 / steps))
