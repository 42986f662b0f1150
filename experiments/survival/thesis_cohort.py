"""A cohort of two scanners with the sizes and numbers of deaths in Table 7.1 of the thesis.

::

    python -m experiments.survival.thesis_sizes --preset laptop

As in Table 7.1, scanner A has training, validation and test slides, and scanner B has only test
slides. They are made like those of :mod:`.two_scanner_cohort`, for other patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.survival.follow_up import CENTERS, Censoring, Outcome
from experiments.survival.recipes import (
    Patient,
    Recipe,
    draw_patients,
    draw_recipes,
    manifest,
    random_numbers,
)
from experiments.survival.tissue import crops_there
from experiments.thesis import table
from survival.cohort import Cohort

# The columns of Table 7.1 by scanner and split.
COLUMNS = {
    "A": {"train": "a_training", "validation": "a_validation", "test": "a_test"},
    "B": {"test": "b_test"},
}


@dataclass(frozen=True)
class Sizes:
    """The size of a part of a cohort.

    Args:
        patients: Number of patients.
        events: Patients who died of the melanoma.
        slides: Number of slides of all patients.
    """

    patients: int
    events: int
    slides: int


def thesis_sizes() -> dict[str, dict[str, Sizes]]:
    """Return the sizes of Table 7.1 by scanner and split."""
    rows = {row["characteristic"]: row for row in table("7_1")}
    return {
        scanner: {
            split: Sizes(
                *(int(rows[key][column]) for key in ("patients", "dead_or_event", "scans"))
            )
            for split, column in columns.items()
        }
        for scanner, columns in COLUMNS.items()
    }


def draw_thesis_cohort(
    seed: int, shared: Path | None, coarser: int = 1
) -> tuple[Cohort, list[tuple[Recipe, Outcome]]]:
    """Draw a cohort with the sizes of Table 7.1, without making any slide.

    The baseline hazard of a scanner is chosen such that the number of events is the thesis'. The
    scanner's patients with and without the event are then distributed over the splits at random.
    The slides of a split are distributed evenly: 3.01, 1 and 1.06 for each patient of A, one for
    each patient of B.

    Args:
        seed: Seed; another one gives other patients.
        shared: Folder of shared data.
        coarser: Factor on the downsampling of the preprocessing.

    Returns:
        The cohort with its splits; and the recipe and outcome of each of its slides, for
        :func:`.two_scanner_cohort.make_slides`.

    Raises:
        ValueError: If the follow-up is missing.
    """
    censoring, crops = Censoring(shared), tuple(crops_there(shared))
    rows, splits = [], []
    for scanner, sizes in thesis_sizes().items():
        count = sum(size.patients for size in sizes.values())
        rate = sum(size.events for size in sizes.values()) / count
        center = replace(CENTERS[scanner], event_rate=rate)
        patients = draw_patients(seed, scanner, count, center, censoring)
        split_of = _share_out(patients, sizes, random_numbers(seed, f"splits of {scanner}"))
        slides = {split: _deal(size.slides, size.patients) for split, size in sizes.items()}
        for patient in patients:
            split = split_of[patient.name]
            for recipe in draw_recipes(patient, crops, next(slides[split])):
                rows.append((recipe, patient.outcome))
                splits.append(split)
    return replace(manifest(rows, coarser), split=np.array(splits, dtype=object)), rows


def _share_out(patients: list[Patient], sizes: dict[str, Sizes], rng) -> dict[str, str]:
    """Return the split of each patient: the given numbers with and without the event."""
    split_of = {}
    for event in (True, False):
        names = [p.name for p in patients if p.outcome.event == event]
        places = [
            split
            for split, size in sizes.items()
            for _ in range(size.events if event else size.patients - size.events)
        ]
        split_of |= dict(zip(rng.permutation(names).tolist(), places, strict=True))
    return split_of


def _deal(slides: int, patients: int) -> Iterator[int]:
    """Yield the number of slides of each patient; the first patients get the remainder."""
    return (slides // patients + (number < slides % patients) for number in range(patients))
