"""Risk groups: Kaplan–Meier curves, numbers at risk and the log-rank test."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator

from resbuilder.common.words import count
from survival.metrics.arrays import entries, follow_up, labels, scores, structured


class KaplanMeier(NamedTuple):
    """The Kaplan–Meier curve of one group: a step function, constant from each time on.

    Attributes:
        group: The group's label, as given by the caller.
        times: Times at which the curve may change, beginning with 0, shape (k,).
        survival: Probability of being without the event from each time on, shape (k,).
        low: Lower 95 % bound (log-log transformation), shape (k,).
        high: Upper 95 % bound, shape (k,).
        censored: Times at which patients were censored, without duplicates.
        patients: Number of patients in the group.
        events: Number of events in the group.
    """

    group: Any
    times: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    censored: np.ndarray
    patients: int
    events: int

    def at(self, time: float) -> tuple[float, float, float]:
        """Return survival at a time and its bounds; NaN after the last follow-up."""
        if time > self.times[-1] and self.survival[-1] > 0:
            return (float("nan"),) * 3
        i = np.searchsorted(self.times, time, side="right") - 1
        return float(self.survival[i]), float(self.low[i]), float(self.high[i])


class LogRank(NamedTuple):
    """Result of the log-rank test of the hypothesis that all groups have the same hazard."""

    statistic: float
    p_value: float


def risk_thresholds(risk: ArrayLike, groups: int = 2) -> np.ndarray:
    """Return the scores that divide patients into groups of equal size.

    Compute the thresholds from the training data, and apply them to the test data.

    Args:
        risk: Scores, shape (n,) or (n, 1).
        groups: Number of groups; 2 divides at the median.

    Returns:
        Increasing thresholds, shape (groups − 1,).

    Raises:
        ValueError: There are too many equal scores for that many groups.
    """
    risk = scores(risk)
    if groups < 2 or groups > len(risk):
        raise ValueError(f"groups must be between 2 and the {len(risk)} patients, not {groups}")
    thresholds = np.quantile(risk, np.arange(1, groups) / groups)
    if len(np.unique(assign_risk_groups(risk, thresholds))) < groups:
        raise ValueError(
            f"{len(risk)} scores with {count(len(np.unique(risk)), 'different value')} cannot be "
            f"divided into {groups} groups of equal size"
            + ("; use fewer groups" if groups > 2 else "")
        )
    return thresholds


def assign_risk_groups(risk: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Return the number of each row's risk group; 0 is the lowest risk.

    A score equal to a threshold belongs to the lower group.

    Args:
        risk: Scores, shape (n,) or (n, 1).
        thresholds: Increasing thresholds, from :func:`risk_thresholds`.

    Returns:
        Integers, shape (n,).
    """
    risk = scores(risk)
    return np.searchsorted(np.asarray(thresholds, "float64"), risk, side="left")


def kaplan_meier(y_true: ArrayLike, group: ArrayLike) -> list[KaplanMeier]:
    """Return one Kaplan–Meier curve per group.

    With delayed entry the risk sets are {entry < t ≤ time}. If few patients have entered early on,
    a single event can bring the curve to 0 permanently, so look at the numbers at risk. If nobody
    is at risk from the start, the curve describes those who survive until the first entry.

    Args:
        y_true: Time and event, one row per patient, shape (n, 2) or (n, 3), or with entries,
            shape (n, 5).
        group: Group of every patient, shape (n,).

    Returns:
        One curve per group, in the order of the groups.
    """
    time, event = follow_up(y_true)
    group = labels(group, len(time), "group")
    entry = entries(y_true)
    curves = []
    for name in np.unique(group).tolist():
        t, e = time[group == name], event[group == name]
        if entry is None:
            times, survival, (low, high) = kaplan_meier_estimator(e, t, conf_type="log-log")
        else:
            times, survival, low, high = _with_entries(t, e, entry[group == name])
        # Before the first event the transformation gives no bounds.
        low, high = (np.where(survival == 1, 1.0, bound) for bound in (low, high))
        start = times[0] > 0  # let the curve begin at time 0 with survival 1
        times, survival, low, high = (
            np.r_[first, values] if start else values
            for first, values in ((0.0, times), (1.0, survival), (1.0, low), (1.0, high))
        )
        censored = np.unique(t[~e])
        curves.append(KaplanMeier(name, times, survival, low, high, censored, len(t), int(e.sum())))
    return curves


def _with_entries(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, survival and bounds of a group whose patients enter at −∞ or late."""
    # By ranks, with the start at 0, because scikit-survival does not accept negative times.
    times, place = np.unique(np.r_[time, entry[np.isfinite(entry)]], return_inverse=True)
    begin = np.zeros(len(time))
    begin[np.isfinite(entry)] = place[len(time) :] + 1
    ranks, survival, (low, high) = kaplan_meier_estimator(
        event, place[: len(time)] + 1.0, begin, conf_type="log-log"
    )
    ended = np.isin(ranks, place[: len(time)] + 1)
    return np.unique(time), survival[ended], low[ended], high[ended]


def numbers_at_risk(y_true: ArrayLike, group: ArrayLike, times: ArrayLike) -> np.ndarray:
    """Return how many patients of each group are at risk just before given times.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3), or with entries, shape (n, 5). Patients who
            enter later are not yet counted.
        group: Group of every patient, shape (n,).
        times: Times, shape (k,).

    Returns:
        Counts, shape (groups, k), groups in the order of :func:`kaplan_meier`.
    """
    time, _ = follow_up(y_true)
    group = labels(group, len(time), "group")
    times = np.asarray(times, "float64")[None]
    still = time[:, None] >= times
    if (entry := entries(y_true)) is not None:
        still &= entry[:, None] < times
    return np.stack([still[group == name].sum(axis=0) for name in np.unique(group)])


def log_rank(y_true: ArrayLike, group: ArrayLike) -> LogRank:
    """Return the log-rank test between all groups.

    Args:
        y_true: Time and event, one row per patient, shape (n, 2) or (n, 3), or with entries,
            shape (n, 5): patients are then at risk only from their entry on.
        group: Group of every patient, shape (n,).

    Returns:
        The statistic (χ² with groups − 1 degrees of freedom) and its p-value.

    Raises:
        ValueError: There are fewer than two groups or no events, or the groups were never followed
            at the same time.
    """
    time, event = follow_up(y_true)
    group = labels(group, len(time), "group")
    if len(np.unique(group)) < 2:
        raise ValueError("a log-rank test compares at least two groups; there is one")
    if not event.any():
        raise ValueError("a log-rank test needs events; there are none")
    entry = entries(y_true)
    if not _comparable(time, event, entry, group):
        raise ValueError(
            "the groups cannot be compared: no event happened while patients of every group were "
            "followed"
        )
    if entry is None:
        statistic, p_value = compare_survival(structured(time, event), group)
    else:
        statistic, p_value = _log_rank_with_entries(time, event, entry, group)
    return LogRank(float(statistic), float(p_value))


def _comparable(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray | None, group: np.ndarray
) -> bool:
    """Return whether the covariance of the log-rank test has full rank.

    An event compares all groups with patients at risk then, unless everybody at risk dies. The
    covariance, without one group, is regular if such comparisons connect all groups.
    """
    risk, observed = _counts(time, event, entry, group)
    compares = observed.sum(axis=0) < risk.sum(axis=0)
    present = (risk[:, compares] > 0).astype(int)
    number, _ = connected_components(present @ present.T, directed=False)
    return number == 1


def _counts(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray | None, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return patients at risk and events of each group at each time of an event (groups, times)."""
    times = np.unique(time[event])
    at_risk = times <= time[:, None]
    if entry is not None:
        at_risk &= entry[:, None] < times
    died = event[:, None] & (time[:, None] == times)
    risk, observed = (
        np.array([rows[group == name].sum(axis=0) for name in np.unique(group)])
        for rows in (at_risk, died)
    )
    return risk, observed


def _log_rank_with_entries(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray, group: np.ndarray
) -> tuple[float, float]:
    """Return the log-rank test with entries, which scikit-survival does not support.

    With d events at a time, n patients at risk and n_g of them in group g, the group's expected
    number is d·n_g/n. The covariance of the sums of observed − expected over all times is that of
    the hypergeometric distribution, and the statistic is U' V⁻¹ U without the last group.
    """
    risk, observed = _counts(time, event, entry, group)
    everybody, events = risk.sum(axis=0), observed.sum(axis=0)
    share = risk / everybody
    difference = (observed - events * share).sum(axis=1)
    factor = events * (everybody - events) / np.maximum(everybody - 1, 1)
    variance = np.diag((factor * share).sum(axis=1)) - (factor * share) @ share.T
    # The last group is determined by the others.
    part = difference[:-1]
    statistic = part @ np.linalg.solve(variance[:-1, :-1], part)
    return statistic, chi2.sf(statistic, len(risk) - 1)
