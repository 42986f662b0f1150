"""Splits by patient, stratified by event and dataset."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from resbuilder.common.words import count
from survival.checks import number
from survival.cohort.checks import SPLITS
from survival.cohort.manifest import Cohort


def split_by_patient(
    cohort: Cohort, validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> Cohort:
    """Assign every patient, with all slides, to one split.

    Patients with and without the event, and those of every dataset, are divided in the same
    proportions. The split depends only on the patients' names, events and datasets, and on the
    seed. It does not depend on the order of the rows, the platform or the version of a random
    number generator.

    Patients are sorted by event, dataset and a hash of seed and name, and dealt out in this order.
    Each goes to the split with the largest deficit, share × (patients dealt) − (patients in it).

    Args:
        cohort: A cohort; an existing split is replaced.
        validation: Fraction of the patients in the validation split, ≥ 0.
        test: Fraction of the patients in the test split, ≥ 0; the rest is for training.
        seed: Random seed of the split.

    Returns:
        The cohort with its ``split``.

    Raises:
        ValueError: The fractions leave nothing to train on, or there are fewer patients with an
            event than splits.
    """
    for name, share in (("validation", validation), ("test", test)):
        number(name, share, "a fraction of the patients, ≥ 0 and < 1", lambda v: 0 <= v < 1)
    if validation + test >= 1:
        raise ValueError(f"validation + test = {validation + test:g} leaves nothing to train on")
    shares = dict(zip(SPLITS, (1 - validation - test, validation, test), strict=True))
    shares = {split: share for split, share in shares.items() if share > 0}
    strata = _strata(cohort)
    with_event = sum(event for event, _ in strata.values())
    if with_event < len(shares):
        raise ValueError(
            f"{count(with_event, 'patient')} with an event: too few for {len(shares)} splits, each "
            "of which needs one; omit a split by giving it the fraction 0"
        )

    def position(patient: str) -> tuple[bool, tuple[str, ...], bytes]:
        event, datasets = strata[patient]
        return not event, datasets, hashlib.sha256(f"{seed}:{patient}".encode()).digest()

    split_of: dict[str, str] = {}
    sizes = dict.fromkeys(shares, 0)
    for i, patient in enumerate(sorted(strata, key=position)):
        # Invariant: each stratum is a contiguous part of this order, so within every stratum a
        # split deviates from its share by at most two patients.
        behind = {split: shares[split] * (i + 1) - sizes[split] for split in shares}
        # Patients with events come first. The last of them go to splits that have none yet.
        without = [split for split in shares if not sizes[split]]
        choices = without if 0 < with_event - i <= len(without) else list(shares)
        split_of[patient] = max(choices, key=behind.__getitem__)
        sizes[split_of[patient]] += 1
    split = np.array([split_of[patient] for patient in cohort.patient], dtype=object)
    return replace(cohort, split=split)


def _strata(cohort: Cohort) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Return for every patient whether the event was observed, and the datasets with a slide."""
    events: dict[str, bool] = {}
    datasets: dict[str, set[str]] = {}
    for patient, event, dataset in zip(cohort.patient, cohort.event, cohort.dataset, strict=True):
        events[patient] = bool(event)
        datasets.setdefault(patient, set()).add(dataset)
    return {patient: (events[patient], tuple(sorted(datasets[patient]))) for patient in events}
