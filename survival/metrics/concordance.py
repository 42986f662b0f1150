"""How well scores order patients: concordance indices and areas under ROC curves.

Everywhere a higher score means a higher risk, and 0.5 is chance. The size of the scores plays no
role, only their order; equal scores count one half.
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

# Comparisons of pairs that are in memory at a time.
_PAIRS = 2**22
# Why measures that weigh by the censoring are refused where somebody enters late.
_NO_CENSORING = (
    "its weights are probabilities of being uncensored, and those who had the event before they "
    "could enter have none"
)


class PairCounts(NamedTuple):
    """Pairs that can be compared, the earlier of both times being an event, by their scores."""

    concordant: int
    discordant: int
    tied: int

    def c_index(self) -> float:
        """Share of concordant pairs, tied ones counting half.

        Raises:
            ValueError: There are no pairs.
        """
        if not sum(self):
            raise ValueError(
                "no two patients can be compared: that takes an event and somebody followed "
                "longer than until it"
            )
        return (self.concordant + self.tied / 2) / sum(self)


def count_pairs(y_true: ArrayLike, risk: ArrayLike) -> PairCounts:
    """Counts the pairs that Harrell's C compares.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3), or with entries, shape (n, 5).
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        The counts, all 0 where nothing can be compared.
    """
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    if len(time) < 2 or not event.any():
        return PairCounts(0, 0, 0)
    if (entry := entries(y_true)) is not None:
        return _pairs_under_observation(time, event, entry, risk)
    try:
        with np.errstate(invalid="ignore"):  # 0/0, if only the last times are events
            counts = concordance_index_censored(event, time, risk, tied_tol=0.0)[1:4]
    except NoComparablePairException:
        return PairCounts(0, 0, 0)
    return PairCounts(*map(int, counts))


def _pairs_under_observation(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray, risk: np.ndarray
) -> PairCounts:
    """Counts of pairs of which the later one had already entered at the event of the earlier."""
    counts = np.zeros(3, int)
    rows = np.flatnonzero(event)
    for some in np.array_split(rows, -(-len(rows) * len(time) // _PAIRS)):
        t, r = time[some, None], risk[some, None]
        # At one time, an event comes before a censoring.
        comparable = (entry < t) & ((time > t) | ((time == t) & ~event))
        counts += [(comparable & order).sum() for order in (r > risk, r < risk, r == risk)]
    return PairCounts(*map(int, counts))


def harrell_c(y_true: ArrayLike, risk: ArrayLike) -> float:
    """Harrell's concordance index.

    The share of comparable pairs (one had the event while the other was under observation) whose
    earlier event has the higher score. With delayed entry a patient is compared only with those
    whose event came after the patient's entry.

    Args:
        y_true: Time and event of the whole split, shape (n, 2) or (n, 3), or with entries, shape
            (n, 5).
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: Nothing can be compared, or the arrays do not fit.
    """
    return count_pairs(y_true, risk).c_index()


def uno_c(
    y_true: ArrayLike, risk: ArrayLike, y_train: ArrayLike, horizon: float | None = None
) -> float:
    """Uno's concordance index (Uno et al. 2011).

    Unlike Harrell's it does not depend on how patients were censored: every pair is weighted by
    the inverse squared probability of being uncensored at its earlier time.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3).
        risk: Scores, shape (n,) or (n, 1).
        y_train: Time and event of the training data, from which the censoring is estimated.
        horizon: Events from this time on do not count; by default the end of the training data's
            follow-up, as far as somebody could still be uncensored there.

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: Nothing can be compared, or the horizon lies behind the training data's end;
            or somebody enters late.
    """
    for follow in (y_true, y_train):
        refuse_entries(follow, "Uno's C", _NO_CENSORING)
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    train_time, train_event = follow_up(y_train)
    end = _end_of_follow_up(train_time, train_event)
    if horizon is None:
        horizon = end
    elif not 0 < horizon <= end:
        raise ValueError(
            f"horizon must lie within the follow-up of the training data, 0 < horizon <= {end:g}, "
            f"not {horizon}"
        )
    count_pairs(np.stack([time, event & (time < horizon)], axis=1), risk).c_index()
    train, test = structured(train_time, train_event), structured(time, event)
    return float(concordance_index_ipcw(train, test, risk, horizon, tied_tol=0.0)[0])


def _end_of_follow_up(time: np.ndarray, event: np.ndarray) -> float:
    """The first time at which the probability of being uncensored is 0 or unknown."""
    if not event.any():
        raise ValueError("the training data have no event: the censoring cannot be estimated")
    censoring = CensoringDistributionEstimator().fit(structured(time, event))
    nobody = censoring.unique_time_[censoring.prob_ <= 0]
    return float(nobody[0]) if len(nobody) else float(np.nextafter(time.max(), np.inf))


def auroc(y_true: ArrayLike, risk: ArrayLike) -> float:
    """Area under the ROC curve of the event itself, whenever it was (thesis Table 7.2).

    Args:
        y_true: Time and event, shape (n, 2), (n, 3) or (n, 5); times and entries play no role.
        risk: Scores, shape (n,) or (n, 1).

    Returns:
        Between 0 and 1; 0.5 is chance.

    Raises:
        ValueError: There are not both patients with and without the event.
    """
    time, event = follow_up(y_true)
    risk = scores(risk, len(time))
    if event.all() or not event.any():
        raise ValueError(
            f"an AUROC needs patients with and without the event; {event.sum()} of {len(event)} "
            "have it"
        )
    # By ranks (Mann and Whitney), because a bootstrap asks for it a thousand times.
    positives = event.sum()
    above = rankdata(risk)[event].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (~event).sum()))


def time_dependent_auroc(
    y_true: ArrayLike, risk: ArrayLike, y_train: ArrayLike, times: ArrayLike
) -> tuple[np.ndarray, float]:
    """Cumulative/dynamic area under the ROC curve (Uno et al. 2007).

    At time t, those with an event until t are told from those followed longer than t.

    Args:
        y_true: Time and event, shape (n, 2) or (n, 3).
        risk: Scores, shape (n,) or (n, 1).
        y_train: Time and event of the training data, from which the censoring is estimated.
        times: Increasing times, shape (k,), or one time.

    Returns:
        The area at every time, shape (k,), and their mean weighted by the events between the
        times.

    Raises:
        ValueError: A time without events before or without anybody followed longer, or behind the
            end of the training data; or somebody enters late.
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
            f"times must lie between the first event at {first:g} and before the end of follow-up "
            f"at {last:g}, not {times[0]:g} to {times[-1]:g}"
        )
    train_time, train_event = follow_up(y_train)
    end = _end_of_follow_up(train_time, train_event)
    if times[-1] >= end:
        raise ValueError(
            f"times must lie before the end of the training data's follow-up at {end:g}, not "
            f"{times[-1]:g}"
        )
    # Events behind the last time are nobody's business, and may have no weight.
    test = structured(time, event & (time <= times[-1]))
    train = structured(train_time, train_event)
    area, mean = cumulative_dynamic_auc(train, test, risk, times, tied_tol=0.0)
    return area, float(mean)
