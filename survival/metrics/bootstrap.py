"""Bootstrap intervals of metrics, which resample patients with all their slides."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from survival.metrics.arrays import follow_up, labels

# With fewer patients who had the event, the draws hardly differ, and an interval computed from
# them would be misleadingly narrow.
FEWEST_EVENTS = 5


class Interval(NamedTuple):
    """A metric with its interval.

    Attributes:
        value: The metric of the data, without resampling.
        low: Lower end of the interval.
        high: Upper end; both ends are NaN if there are too few events for an interval.
        repeats: Number of draws in which the metric was defined.
    """

    value: float
    low: float
    high: float
    repeats: int

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.3f} (–)"
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def bootstrap_interval(
    metric: Callable[..., float],
    *rows: ArrayLike,
    patient: ArrayLike | None = None,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of a metric, clustered by patient.

    Patients are drawn with replacement, each with all slides. The slides of one patient are not
    independent; treating them as independent would make the interval too narrow.

    Args:
        metric: Called as ``metric(*rows)``; raises ValueError if it is not defined.
        *rows: Arrays with n rows each, such as ``y_true`` and the scores.
        patient: Patient of each row, shape (n,); by default every row is a patient.
        repeats: Number of draws.
        level: Coverage of the interval, between 0 and 1.
        seed: Random seed of the draws.

    Returns:
        The metric of all rows and its interval.

    Raises:
        ValueError: The metric is not defined for the data, or in most of the draws.

    Example:
        >>> from survival.metrics import harrell_c
        >>> time, event = np.array([3.0, 5, 8, 8, 13]), np.array([1, 1, 0, 1, 0])
        >>> y_true, risk = np.stack([time, event], axis=1), np.array([0.9, 0.3, 0.1, 0.5, -1])
        >>> patient = ["A", "B", "C", "C", "D"]
        >>> interval = bootstrap_interval(harrell_c, y_true, risk, patient=patient)
        >>> interval.low <= interval.value <= interval.high
        True
    """
    if not rows:
        raise ValueError("bootstrap_interval needs the arrays that the metric takes")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    arrays = [np.asarray(array) for array in rows]
    n = len(arrays[0])
    if any(len(array) != n for array in arrays):
        raise ValueError(
            f"all arrays must have the same number of rows, not {[len(array) for array in arrays]}"
        )
    patient = np.arange(n) if patient is None else labels(patient, n, "patient")
    value = float(metric(*arrays))
    _, first, number = np.unique(patient.astype(str), return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[number]  # in the order of the rows, not of the names
    order = np.argsort(number, kind="stable")
    slides = np.split(order, np.cumsum(np.bincount(number))[:-1])
    random = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn = random.integers(len(slides), size=len(slides))
        chosen = np.concatenate([slides[i] for i in drawn])
        try:
            values.append(float(metric(*(array[chosen] for array in arrays))))
        except ValueError:  # no comparable patients in this draw
            continue
    if len(values) < max(1, repeats / 2):
        raise ValueError(
            f"the metric is defined in only {len(values)} of {repeats} bootstrap draws: too few "
            "patients or events for an interval"
        )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(values))


def event_interval(
    metric: Callable[..., float],
    y_true: ArrayLike,
    *rows: ArrayLike,
    patient: ArrayLike | None = None,
    until: float = np.inf,
    repeats: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return :func:`bootstrap_interval` of a metric, if there are enough events for an interval.

    Args:
        metric: Called as ``metric(y_true, *rows)``.
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5).
        *rows: Further arrays with n rows, such as the scores.
        patient: Patient of each row, shape (n,); by default every row is a patient.
        until: Time after which events do not count for the metric.
        repeats: Number of draws.
        seed: Random seed of the draws.

    Returns:
        The metric of all rows with its 95 % interval, or NaN as both ends if fewer than 5 patients
        had the event.

    Raises:
        ValueError: The metric is not defined for the data, or in most of the draws.
    """
    time, event = follow_up(y_true)
    patient = np.arange(len(time)) if patient is None else labels(patient, len(time), "patient")
    if len(np.unique(patient[event & (time <= until)].astype(str))) < FEWEST_EVENTS:
        return Interval(float(metric(y_true, *rows)), np.nan, np.nan, 0)
    return bootstrap_interval(metric, y_true, *rows, patient=patient, repeats=repeats, seed=seed)
