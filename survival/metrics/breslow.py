"""From log-hazards to probabilities: Breslow's baseline hazard, one per stratum."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from survival.metrics.arrays import entries, follow_up, labels, scores


class BaselineHazard:
    """Breslow's estimator of the cumulative baseline hazard (Breslow 1972), per stratum.

    With times t, events δ, log-hazards ĥ and entries e (−∞ without entries),

        H₀(t) = Σ_{i: δ_i = 1, t_i ≤ t} 1 / Σ_{j: e_j < t_i ≤ t_j} exp(ĥ_j).

    A patient with log-hazard ĥ is without the event at time t with probability
    S(t | ĥ) = exp(−H₀(t) exp(ĥ)). Sums are computed as logarithms, so any spread of the log-hazards
    is allowed (scikit-survival loses all digits at a spread of 40).

    Args:
        y_true: Time and event of the training data, shape (n, 2) or (n, 3), or with entries, shape
            (n, 5).
        log_hazard: Log-hazards of the same rows, shape (n,) or (n, 1).
        stratum: Stratum of each row, such as its scanner, shape (n,). Each stratum gets a separate
            hazard. By default the third column of ``y_true``, or one stratum for all.

    Attributes:
        strata: The strata.

    Raises:
        ValueError: A stratum has no event.

    Example:
        >>> time_and_event = [[10, 1], [20, 0], [30, 1], [40, 1]]
        >>> baseline = BaselineHazard(time_and_event, log_hazard=[0.9, 0.2, 0.1, -0.8])
        >>> baseline.survival([0.9, -0.8], times=[12, 36]).round(2)
        array([[0.63, 0.13],
               [0.92, 0.69]])
    """

    def __init__(self, y_true: ArrayLike, log_hazard: ArrayLike, stratum: ArrayLike | None = None):
        time, event = follow_up(y_true)
        log_hazard = scores(log_hazard, len(time), "log_hazard")
        entry = entries(y_true)
        self._curves = {}
        stratum = _strata(stratum, y_true, len(time))
        for name in np.unique(stratum).tolist():
            rows = stratum == name
            if not event[rows].any():
                raise ValueError(f"stratum {name!r} has no event: its hazard cannot be estimated")
            self._curves[name] = _log_cumulative_hazard(
                time[rows], event[rows], log_hazard[rows], None if entry is None else entry[rows]
            )

    @property
    def strata(self) -> tuple:
        """The strata, each with a separate baseline hazard."""
        return tuple(self._curves)

    def cumulative_hazard(self, times: ArrayLike, stratum: Hashable = None) -> np.ndarray:
        """Return the cumulative baseline hazard H₀.

        Args:
            times: Times within the stratum's follow-up, shape (k,).
            stratum: The stratum; may be omitted if there is only one.

        Returns:
            H₀ at the times, shape (k,).
        """
        return np.exp(self._log_cumulative_hazard(times, stratum))

    def survival(
        self, log_hazard: ArrayLike, times: ArrayLike, stratum: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the probabilities of being without the event at given times.

        Args:
            log_hazard: Log-hazards, shape (n,) or (n, 1).
            times: Times within the stratum's follow-up, shape (k,).
            stratum: One stratum for all rows, or one per row, shape (n,); may be omitted if there
                is only one.

        Returns:
            Probabilities, shape (n, k).

        Raises:
            ValueError: A stratum is unknown, or a time is after the end of its follow-up.
        """
        log_hazard = scores(log_hazard, name="log_hazard")
        if stratum is None or np.ndim(stratum) == 0:
            log_h0 = self._log_cumulative_hazard(times, stratum)[None]
        else:
            stratum = labels(stratum, len(log_hazard), "stratum")
            curves = {
                name: self._log_cumulative_hazard(times, name)
                for name in np.unique(stratum).tolist()
            }
            log_h0 = np.stack([curves[name] for name in stratum.tolist()])
        with np.errstate(over="ignore"):  # exp(−∞) = 0 is the right probability
            return np.exp(-np.exp(log_hazard[:, None] + log_h0))

    def _log_cumulative_hazard(self, times: ArrayLike, stratum: Any) -> np.ndarray:
        if stratum is None and len(self._curves) == 1:
            (stratum,) = self._curves
        stratum = stratum.item() if isinstance(stratum, np.generic) else stratum
        if stratum not in self._curves:
            raise ValueError(
                f"stratum must be one of {', '.join(map(repr, self._curves))}, not {stratum!r}"
            )
        knots, log_h0, end = self._curves[stratum]
        times = np.atleast_1d(np.asarray(times, "float64"))
        if not ((times >= 0) & (times <= end)).all():
            raise ValueError(
                f"times must be within the follow-up of stratum {stratum!r}, 0 to {end:g}, not "
                f"{times.min():g} to {times.max():g}"
            )
        return log_h0[np.searchsorted(knots, times, side="right")]


def _strata(stratum: ArrayLike | None, y_true: ArrayLike, n: int) -> np.ndarray:
    if stratum is not None:
        return labels(stratum, n, "stratum")
    y_true = np.asarray(y_true)
    return y_true[:, 2] if y_true.shape[1] > 2 else np.zeros(n, int)


def _log_cumulative_hazard(
    time: np.ndarray, event: np.ndarray, log_hazard: np.ndarray, entry: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the event times, log H₀ before the first and from each one on, and the last time."""
    knots, deaths = np.unique(time[event], return_counts=True)
    if entry is None:
        order = np.argsort(-time, kind="stable")
        # log Σ exp(ĥ_j) over rows with the same or a longer time.
        at_risk = np.logaddexp.accumulate(log_hazard[order])
        last = len(time) - 1 - np.searchsorted(time[order][::-1], knots, side="left")
        log_sums = at_risk[last]
    else:
        # Each risk set separately: a difference of running sums would lose digits.
        log_sums = np.array(
            [logsumexp(log_hazard[(entry < knot) & (knot <= time)]) for knot in knots]
        )
    log_h0 = np.logaddexp.accumulate(np.log(deaths) - log_sums)
    return knots, np.r_[-np.inf, log_h0], float(time.max())
