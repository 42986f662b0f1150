"""Who is left out of a cohort, and whether the outcome of those who remain is biased by it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import fisher_exact

# Below this probability a difference in outcome is not taken for chance.
LEVEL = 0.05


@dataclass(frozen=True)
class Outcomes:
    """How many had an event.

    Attributes:
        event: Number with the event.
        censored: Number known to be without it.
        unknown: Number of whom it is not known.
    """

    event: int
    censored: int
    unknown: int

    @classmethod
    def of(cls, outcomes: ArrayLike) -> Outcomes:
        """Count outcomes: 1 event, 0 none, NaN unknown; one per patient."""
        values = np.asarray(outcomes, float)
        event, censored = int((values == 1).sum()), int((values == 0).sum())
        return cls(event, censored, len(values) - event - censored)

    def __str__(self) -> str:
        parts = [f"{self.event} with the event", f"{self.censored} without"]
        return ", ".join(parts + ([f"{self.unknown} unknown"] if self.unknown else []))


def check_left_out(
    kept: ArrayLike,
    left_out: ArrayLike,
    what: str,
    remedy: str | None = None,
    refuse: bool = True,
) -> None:
    """Compare the outcome of those left out with that of those kept.

    Leaving out patients because of their outcome biases everything that is learned from the rest.
    Patients without a date of their last visit are typically the living: without them a cohort
    consists of the dead.

    Args:
        kept: Outcomes of the patients who are kept, 1 or 0, NaN where unknown.
        left_out: Likewise of those left out.
        what: Who is left out, for the message.
        remedy: What the user may do about it.
        refuse: Whether a one-sided cohort is an error.

    Raises:
        ValueError: All who are kept have the event, and some who are left out are known not to,
            or the other way around; and that is more than chance.

    Warns:
        UserWarning: The shares with the event differ by more than chance (Fisher's exact test,
            p < 0.05), or only one outcome would remain.
    """
    inside, outside = Outcomes.of(kept), Outcomes.of(left_out)
    advice = f"; {remedy}" if remedy else ""
    one_sided = (inside.event == 0 and outside.event > 0) or (
        inside.censored == 0 and outside.censored > 0
    )
    table = [[inside.event, inside.censored], [outside.event, outside.censored]]
    p = fisher_exact(table).pvalue
    if inside.event + inside.censored and one_sided:
        text = (
            f"only patients {'without' if inside.event == 0 else 'with'} the event would remain "
            f"({inside}), while there are others among {what} ({outside}){advice}"
        )
        if refuse and p < LEVEL:
            raise ValueError(text)
        warnings.warn(text, stacklevel=3)
    elif p < LEVEL:
        warnings.warn(
            f"those left out differ in outcome from those kept, which biases the cohort: {what}: "
            f"{outside}; kept: {inside} (Fisher's exact test, p = {p:.2g}){advice}",
            stacklevel=3,
        )
