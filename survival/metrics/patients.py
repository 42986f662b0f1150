"""One score per patient, from the scores of the patient's slides."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from survival.metrics.arrays import entries, follow_up, labels, scores

WAYS: dict[str, Callable[[np.ndarray], float]] = {"mean": np.mean, "max": np.max}


class PatientScores(NamedTuple):
    """Scores of patients, in the order in which they first occur.

    Attributes:
        y_true: Time and event, with the same columns as for the slides.
        risk: Scores, shape (patients,).
        patient: Names of the patients, shape (patients,).
        first: Row of each patient's first slide, shape (patients,), to select other columns by.
    """

    y_true: np.ndarray
    risk: np.ndarray
    patient: np.ndarray
    first: np.ndarray


def per_patient(
    y_true: ArrayLike, risk: ArrayLike, patient: ArrayLike, how: str = "mean"
) -> PatientScores:
    """Aggregate the scores of each patient's slides.

    Args:
        y_true: Time and event of the slides, shape (n, 2), (n, 3) or (n, 5).
        risk: Scores of the slides, shape (n,) or (n, 1).
        patient: Patient of each row, shape (n,).
        how: ``"mean"``, or ``"max"`` for the slide with the highest risk.

    Returns:
        One row per patient.

    Raises:
        ValueError: The slides of a patient have different follow-up.
    """
    if how not in WAYS:
        raise ValueError(f"how must be one of {', '.join(map(repr, WAYS))}, not {how!r}")
    time, event = follow_up(y_true)
    y_true = np.asarray(y_true)
    risk = scores(risk, len(time))
    patient = labels(patient, len(time), "patient")
    _, first, number = np.unique(patient.astype(str), return_index=True, return_inverse=True)
    same = (time == time[first][number]) & (event == event[first][number])
    if (entry := entries(y_true)) is not None:
        same &= entry == entry[first][number]
    if not same.all():
        other = int(np.flatnonzero(~same)[0])
        raise ValueError(
            f"rows {first[number[other]]} and {other} are slides of one patient but have different "
            "times, events or entries: a patient has one follow-up"
        )
    order = np.argsort(first)
    aggregated = np.array([WAYS[how](risk[number == i]) for i in order])
    first = first[order]
    return PatientScores(y_true[first], aggregated, patient[first], first)
