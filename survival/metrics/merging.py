"""Joint evaluation of scores from several datasets (scanners), as in thesis Table 7.2."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from survival.metrics.arrays import follow_up, labels, scores
from survival.metrics.bootstrap import Interval, event_interval
from survival.metrics.concordance import PairCounts, auroc, count_pairs, harrell_c
from survival.names import COMBINED, refuse_reserved

MERGED, STANDARDIZED, WITHIN = COMBINED


def standardize_per_dataset(risk: ArrayLike, dataset: ArrayLike) -> np.ndarray:
    """Shift and scale the scores of every dataset to mean 0 and standard deviation 1.

    This removes a difference between scanners that has nothing to do with risk. It also removes a
    real difference, if the patients of one scanner are at higher risk.

    Args:
        risk: Scores, shape (n,) or (n, 1).
        dataset: Dataset of every row, shape (n,).

    Returns:
        Scores, shape (n,); 0 for a dataset whose scores are all equal.
    """
    risk = scores(risk)
    dataset = labels(dataset, len(risk), "dataset")
    result = np.empty_like(risk)
    for name in np.unique(dataset):
        rows = dataset == name
        centered = risk[rows] - risk[rows].mean()
        # Of equal scores, the mean may differ from each by rounding.
        equal = np.ptp(risk[rows]) == 0
        result[rows] = 0.0 if equal else centered / centered.std()
    return result


def merged_c(y_true: ArrayLike, risk: ArrayLike, dataset: ArrayLike) -> float:
    """Return Harrell's C over all datasets together, with scores standardized per dataset."""
    return harrell_c(y_true, standardize_per_dataset(risk, dataset))


def merged_auroc(y_true: ArrayLike, risk: ArrayLike, dataset: ArrayLike) -> float:
    """Return the AUROC over all datasets together, with scores standardized per dataset."""
    return auroc(y_true, standardize_per_dataset(risk, dataset))


def within_dataset_c(y_true: ArrayLike, risk: ArrayLike, dataset: ArrayLike) -> float:
    """Return Harrell's C over pairs of patients from the same dataset only.

    Scores of different datasets are never compared.

    Args:
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5).
        risk: Scores, shape (n,) or (n, 1).
        dataset: Dataset of every row, shape (n,).

    Returns:
        The fraction of concordant pairs among the comparable pairs of all datasets.

    Raises:
        ValueError: No two patients can be compared in any dataset.
    """
    parts = _parts(y_true, risk, dataset).values()
    counts = [count_pairs(*part) for part in parts]
    return PairCounts(*(sum(column) for column in zip(*counts, strict=True))).c_index()


def stratified_c(y_true: ArrayLike, risk: ArrayLike) -> float:
    """Return Harrell's C over the pairs that the loss compares: with strata, those within one.

    Args:
        y_true: Targets of the loss. The third column, if there is one, is the stratum.
        risk: Scores, shape (n,) or (n, 1).

    Raises:
        ValueError: No two patients can be compared, or the arrays do not match.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.ndim != 2 or y_true.shape[1] < 3:
        return harrell_c(y_true, risk)
    return within_dataset_c(y_true, risk, y_true[:, 2])


def within_dataset_auroc(y_true: ArrayLike, risk: ArrayLike, dataset: ArrayLike) -> float:
    """Return the AUROC over pairs of patients from the same dataset only.

    Args:
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5).
        risk: Scores, shape (n,) or (n, 1).
        dataset: Dataset of every row, shape (n,).

    Returns:
        The mean of the datasets' areas, weighted by their numbers of pairs (with, without event).

    Raises:
        ValueError: No dataset has patients with and without the event.
    """
    areas, pairs = [], []
    for y, r in _parts(y_true, risk, dataset).values():
        _, event = follow_up(y)
        if event.any() and not event.all():
            areas.append(auroc(y, r))
            pairs.append(event.sum() * (~event).sum())
    if not pairs:
        raise ValueError(
            "an AUROC within datasets needs a dataset with patients with and without the event"
        )
    return float(np.average(areas, weights=pairs))


class DatasetScores(NamedTuple):
    """How well scores order the rows of a dataset, or of all datasets combined in some way.

    Attributes:
        data: A dataset's name, ``"merged"`` (scores unchanged), ``"standardized"`` (per dataset,
            again in every draw of the bootstrap) or ``"within"`` (only pairs within a dataset).
        slides: Number of rows.
        events: How many of them have the event.
        c: Harrell's C; None if it is not defined, because no two rows can be compared.
        auroc: AUROC of the event; None if it is not defined, because all rows or none have it.
        note: Why one of them is not defined; empty if both are.
    """

    data: str
    slides: int
    events: int
    c: Interval | None
    auroc: Interval | None
    note: str = ""


def cross_dataset_scores(
    y_true: ArrayLike,
    risk: ArrayLike,
    dataset: ArrayLike,
    patient: ArrayLike | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> list[DatasetScores]:
    """Return thesis Table 7.2: every dataset alone, and all of them combined in three ways.

    Args:
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5).
        risk: Scores, shape (n,) or (n, 1).
        dataset: Dataset of every row, shape (n,).
        patient: Patient of each row, shape (n,), for the bootstrap.
        repeats: Bootstrap draws.
        seed: Random seed of the bootstrap.

    Returns:
        Datasets in alphabetical order; with several, then merged, standardized and within.
        Intervals are 95 %, with NaN as both ends if fewer than 5 patients had the event. A
        dataset that cannot be evaluated leaves the other rows as they are.

    Raises:
        ValueError: Neither measure is defined in any of the rows; the arrays do not match; or one
            of several datasets is called merged, standardized or within.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    time, event = follow_up(y_true)
    n = len(time)
    y_true, risk = np.asarray(y_true), scores(risk, n)
    dataset = labels(dataset, n, "dataset")
    patient = np.arange(n) if patient is None else labels(patient, n, "patient")

    def judged(name, c, area, chosen, *further):
        arrays = [a[chosen] for a in (y_true, risk, *further)]
        drawn = {"patient": patient[chosen], "repeats": repeats, "seed": seed}
        missing = []

        def measured(what, metric):
            try:
                return event_interval(metric, *arrays, **drawn)
            except ValueError as error:
                missing.append(f"no {what}: {error}")
                return None

        found, areas = measured("C-index", c), measured("AUROC", area)
        sizes = int(chosen.sum()), int(event[chosen].sum())
        return DatasetScores(name, *sizes, found, areas, "; ".join(missing))

    names = np.unique(dataset)
    refuse_reserved(map(str, names))
    rows = [judged(str(name), harrell_c, auroc, dataset == name) for name in names]
    if len(names) > 1:
        everything = np.ones(n, bool)
        rows += [
            judged(MERGED, harrell_c, auroc, everything),
            judged(STANDARDIZED, merged_c, merged_auroc, everything, dataset),
            judged(WITHIN, within_dataset_c, within_dataset_auroc, everything, dataset),
        ]
    if all(row.c is None and row.auroc is None for row in rows):
        raise ValueError("; ".join(f"{row.data}: {row.note}" for row in rows[: len(names)]))
    return rows


def cross_dataset_table(
    y_true: ArrayLike,
    risk: ArrayLike,
    dataset: ArrayLike,
    patient: ArrayLike | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return :func:`cross_dataset_scores` as a table.

    Args:
        y_true: See :func:`cross_dataset_scores`.
        risk: See :func:`cross_dataset_scores`.
        dataset: See :func:`cross_dataset_scores`.
        patient: See :func:`cross_dataset_scores`.
        repeats: See :func:`cross_dataset_scores`.
        seed: See :func:`cross_dataset_scores`.

    Returns:
        One row per way, with the columns ``data``, ``slides``, ``events``, ``c_index``, ``c_low``,
        ``c_high``, ``auroc``, ``auroc_low``, ``auroc_high`` and ``note``. What is not defined is
        NaN, and the note says why.

    Raises:
        ValueError: See :func:`cross_dataset_scores`.
    """
    undefined = Interval(np.nan, np.nan, np.nan, 0)
    rows = []
    for row in cross_dataset_scores(y_true, risk, dataset, patient, repeats, seed):
        c, area = row.c or undefined, row.auroc or undefined
        rows.append(
            {"data": row.data, "slides": row.slides, "events": row.events}
            | {"c_index": c.value, "c_low": c.low, "c_high": c.high}
            | {"auroc": area.value, "auroc_low": area.low, "auroc_high": area.high}
            | {"note": row.note}
        )
    return pd.DataFrame(rows)


def _parts(y_true: ArrayLike, risk: ArrayLike, dataset: ArrayLike) -> dict:
    """Return the follow-up and scores of every dataset."""
    time, _ = follow_up(y_true)
    y_true, risk = np.asarray(y_true), scores(risk, len(time))
    dataset = labels(dataset, len(time), "dataset")
    return {name: (y_true[dataset == name], risk[dataset == name]) for name in np.unique(dataset)}
