"""Check whether leaving patients out of a cohort biases the outcomes of those who remain."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import fisher_exact

# Below this p-value a difference in outcome is not attributed to chance.
LEVEL = 0.05


@dataclass(frozen=True)
class Outcomes:
    """Numbers of patients by outcome.

    Attributes:
        event: Patients with the event.
        censored: Patients known not to have had it.
        unknown: Patients whose outcome is unknown.
    """

    event: int
    censored: int
    unknown: int

    @classmethod
    def of(cls, outcomes: ArrayLike) -> Outcomes:
        """Count outcomes, one per patient: 1 event, 0 no event, NaN unknown."""
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
    """Compare the outcomes of the patients left out with those of the patients kept.

    Leaving out patients because of their outcome biases everything that is learned from the rest.
    For example, patients without a date of their last visit are typically alive: without them,
    only patients who died remain.

    Args:
        kept: Outcomes of the patients who are kept: 1 or 0, NaN if unknown.
        left_out: Outcomes of the patients who are left out.
        what: Which patients are left out, for the message.
        remedy: What the user can do about it.
        refuse: Whether it is an error if only one outcome remains.

    Raises:
        ValueError: Only one outcome remains, patients with the other outcome are left out, and
            this is unlikely to be chance (Fisher's exact test, p < 0.05).

    Warns:
        UserWarning: The fractions with the event differ by more than chance (the same test), or
            only one outcome remains.
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
            f"({inside}), because others are left out: {what} ({outside}){advice}"
        )
        if refuse and p < LEVEL:
            raise ValueError(text)
        warnings.warn(text, stacklevel=3)
    elif p < LEVEL:
        warnings.warn(
            "the patients left out differ in outcome from those kept, which biases the cohort. "
            f"Left out: {what}: {outside}; kept: {inside} (Fisher's exact test, p = {p:.2g})"
            f"{advice}",
            stacklevel=3,
        )
