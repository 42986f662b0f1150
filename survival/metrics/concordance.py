"""Discrimination, how well scores order patients: concordance indices and AUROCs.

A higher score always means a higher risk, and 0.5 is chance. Only the order of the scores matters,
not their size. Pairs with equal scores count one half.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sksurv.exceptions import NoComparablePairException
from sksurv.metrics import (
    concordance_index_censored,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
)
from sksurv.nonparametric import CensoringDistributionEstimator

from survival.metrics.arrays import entries, follow_up, refuse_entries, scores, structured

# Pairs that are compared at a time, to limit memory.
_PAIRS = 2**22
# Why measures with inverse-probability-of-censoring weights are refused with late entries.
_NO_CENSORING = (
    "its weights are probabilities of being uncensored, which are unknown for patients who had the "
    "event before they could enter"
)


class PairCounts(NamedTuple):
    """Numbers of comparable pairs, whose earlier time is an event, by the order of the scores."""

    concordant: int
    discordant: int
    tied: int

    def c_index(self) -> float:
        """Return the fraction of concordant pairs, with tied pairs counting one half.

        Raises:
            ValueError: No two patients can be compared.
        """
        if not sum(self):
            raise ValueError(
                "no two patients can be compared: this needs a patient with the event and another "
                "who was followed for longer"
            )
        return (self.concordant + self.tied / 2) / sum(self)


def count_pairs(y_true: ArrayLike, risk: ArrayLike) -> PairCounts:
    """Count the pairs that Harrell's C compares.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3), or with entries, shape (n, 5).
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        The counts, all 0 if no two patients can be compared.
    """
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    if len(time) < 2 or not event.any():
        return PairCounts(0, 0, 0)
    if (entry := entries(y_true)) is not None:
        return _pairs_under_observation(time, event, entry, risk)
    try:
        with np.errstate(invalid="ignore"):  # 0/0 if only the last times are events
            counts = concordance_index_censored(event, time, risk, tied_tol=0.0)[1:4]
    except NoComparablePairException:
        return PairCounts(0, 0, 0)
    return PairCounts(*map(int, counts))


def _pairs_under_observation(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray, risk: np.ndarray
) -> PairCounts:
    """Return the counts with entries: the later patient must have entered before the event."""
    counts = np.zeros(3, int)
    rows = np.flatnonzero(event)
    for part in np.array_split(rows, -(-len(rows) * len(time) // _PAIRS)):
        t, r = time[part, None], risk[part, None]
        # At equal times, an event comes before a censoring.
        comparable = (entry < t) & ((time > t) | ((time == t) & ~event))
        counts += [(comparable & order).sum() for order in (r > risk, r < risk, r == risk)]
    return PairCounts(*map(int, counts))


def harrell_c(y_true: ArrayLike, risk: ArrayLike) -> float:
    """Return Harrell's concordance index.

    Two patients are comparable if one had the event while the other was under observation. The
    index is the fraction of comparable pairs in which the patient with the earlier event has the
    higher score. With delayed entry, events before a patient's entry are not compared with that
    patient.

    Args:
        y_true: Time and event of the whole split, shape (n, 2) or (n, 3), or with entries, shape
            (n, 5).
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: No two patients can be compared, or the arrays do not match.
    """
    return count_pairs(y_true, risk).c_index()


def uno_c(
    y_true: ArrayLike, risk: ArrayLike, y_train: ArrayLike, horizon: float | None = None
) -> float:
    """Return Uno's concordance index (Uno et al. 2011).

    Unlike Harrell's index it does not depend on how patients were censored: every pair is weighted
    by the inverse squared probability of being uncensored at its earlier time.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3).
        risk: Scores, shape (n,) or (n, 1).
        y_train: Time and event of the training data, from which the censoring is estimated.
        horizon: Events from this time on do not count. By default the first time at which the
            training data no longer give a positive probability of being uncensored.

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: No two patients can be compared, the horizon is after the training data's
            follow-up, or a patient enters late.
    """
    for follow in (y_true, y_train):
        refuse_entries(follow, "Uno's C", _NO_CENSORING)
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    train_time, train_event = follow_up(y_train)
    end = end_of_follow_up(y_train)
    if horizon is None:
        horizon = end
    elif not 0 < horizon <= end:
        raise ValueError(
            f"horizon must be within the follow-up of the training data, 0 < horizon <= {end:g}, "
            f"not {horizon}"
        )
    count_pairs(np.stack([time, event & (time < horizon)], axis=1), risk).c_index()
    train, test = structured(train_time, train_event), structured(time, event)
    return float(concordance_index_ipcw(train, test, risk, horizon, tied_tol=0.0)[0])


def end_of_follow_up(y_train: ArrayLike) -> float:
    """Return the first time at which the probability of being uncensored is 0 or unknown.

    Events from this time on do not count for measures that account for censoring.

    Args:
        y_train: Time and event of the training data, shape (n, 2) or (n, 3).

    Raises:
        ValueError: No training patient had the event.
    """
    time, event = follow_up(y_train)
    if not event.any():
        raise ValueError("the training data have no event: the censoring cannot be estimated")
    censoring = CensoringDistributionEstimator().fit(structured(time, event))
    all_censored = censoring.unique_time_[censoring.prob_ <= 0]
    return float(all_censored[0]) if len(all_censored) else float(np.nextafter(time.max(), np.inf))


def auroc(y_true: ArrayLike, risk: ArrayLike) -> float:
    """Return the area under the ROC curve of the event, regardless of its time (thesis Table 7.2).

    Args:
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5); times and entries are ignored.
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: All patients have the event, or none has.
    """
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    if event.all() or not event.any():
        raise ValueError(
            f"an AUROC needs rows with and without the event, but {event.sum()} of {len(event)} "
            "have it"
        )
    # By ranks (Mann and Whitney), which is fast: a bootstrap computes it a thousand times.
    positives = event.sum()
    above = rankdata(risk)[event].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (~event).sum()))


def time_dependent_auroc(
    y_true: ArrayLike, risk: ArrayLike, y_train: ArrayLike, times: ArrayLike
) -> tuple[np.ndarray, float]:
    """Return the cumulative/dynamic area under the ROC curve (Uno et al. 2007).

    At time t, patients with an event up to t are compared with those followed longer than t.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3).
        risk: Scores, shape (n,) or (n, 1).
        y_train: Time and event of the training data, from which the censoring is estimated.
        times: Increasing times, shape (k,), or one time.

    Returns:
        The area at every time, shape (k,), and their mean, weighted by the events between the
        times.

    Raises:
        ValueError: At a time there was no event yet, or nobody is followed longer, or the training
            data's follow-up has ended; or a patient enters late.
    """
    for follow in (y_true, y_train):
        refuse_entries(follow, "The time-dependent AUROC", _NO_CENSORING)
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    times = np.atleast_1d(np.asarray(times, "float64"))
    if times.ndim != 1 or not times.size or not (np.diff(times) > 0).all():
        raise ValueError(f"times must be one or more increasing numbers, not {times}")
    first, last = time[event].min(initial=np.inf), time.max(initial=0)
    if not first <= times[0] <= times[-1] < last:
        raise ValueError(
            f"times must be at or after the first event at {first:g} and before the end of "
            f"follow-up at {last:g}, not {times[0]:g} to {times[-1]:g}"
        )
    train_time, train_event = follow_up(y_train)
    end = end_of_follow_up(y_train)
    if times[-1] >= end:
        raise ValueError(
            f"times must be before the end of the training data's follow-up at {end:g}, not "
            f"{times[-1]:g}"
        )
    # Events after the last time are not used, and their weights may be undefined.
    test = structured(time, event & (time <= times[-1]))
    train = structured(train_time, train_event)
    area, mean = cumulative_dynamic_auc(train, test, risk, times, tied_tol=0.0)
    return area, float(mean)
