"""Splits by patient, stratified by event and dataset."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from survival.checks import number
from survival.cohort.checks import SPLITS
from survival.cohort.manifest import Cohort


def split_by_patient(
    cohort: Cohort, validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> Cohort:
    """Puts every patient into one split, with all slides.

    Patients with and without the event, and those of every dataset, are shared out in the same
    proportions. Who goes where depends on the patients and the seed alone: not on the order of
    the rows, the platform or the version of a random number generator.

    Args:
        cohort: A cohort; a split that it has is replaced.
        validation: Share of the patients in the validation split, ≥ 0.
        test: Share of the patients in the test split, ≥ 0; the rest is for training.
        seed: Another seed, another split.

    Returns:
        The cohort with its ``split``.

    Raises:
        ValueError: Shares that leave nothing to train on, or fewer patients with an event than
            splits.
    """
    for name, share in (("validation", validation), ("test", test)):
        number(name, share, "a share of the patients, 0 ≤ share < 1,", lambda v: 0 <= v < 1)
    if validation + test >= 1:
        raise ValueError(f"validation + test = {validation + test:g} leaves nothing to train on")
    shares = dict(zip(SPLITS, (1 - validation - test, validation, test), strict=True))
    shares = {split: share for split, share in shares.items() if share > 0}
    strata = _strata(cohort)
    with_event = sum(event for event, _ in strata.values())
    if with_event < len(shares):
        raise ValueError(
            f"{with_event} patient(s) with an event cannot give each of {len(shares)} splits one; "
            "leave a split out (share 0)"
        )

    def position(patient: str) -> tuple[bool, tuple[str, ...], bytes]:
        event, datasets = strata[patient]
        return not event, datasets, hashlib.sha256(f"{seed}:{patient}".encode()).digest()

    split_of: dict[str, str] = {}
    count = dict.fromkeys(shares, 0)
    for i, patient in enumerate(sorted(strata, key=position)):
        # The split furthest behind its share of the patients so far; within every stratum, which
        # is a run of this order, no split is then off its share by more than two patients.
        behind = {split: shares[split] * (i + 1) - count[split] for split in shares}
        # Events come first in the order: no split may remain without one.
        without = [split for split in shares if not count[split]]
        choices = without if 0 < with_event - i <= len(without) else list(shares)
        split_of[patient] = max(choices, key=behind.__getitem__)
        count[split_of[patient]] += 1
    split = np.array([split_of[patient] for patient in cohort.patient], dtype=object)
    return replace(cohort, split=split)


def _strata(cohort: Cohort) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Of every patient: whether the event was seen, and the datasets with a slide."""
    events: dict[str, bool] = {}
    datasets: dict[str, set[str]] = {}
    for patient, event, dataset in zip(cohort.patient, cohort.event, cohort.dataset, strict=True):
        events[patient] = bool(event)
        datasets.setdefault(patient, set()).add(dataset)
    return {patient: (events[patient], tuple(sorted(datasets[patient]))) for patient in events}
