"""Checked input of the metrics: follow-up and scores of a whole split."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sksurv.util import Surv

from survival.targets import entry_fits


def follow_up(y_true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and events of ``y_true``.

    Args:
        y_true: Columns time ≥ 0, event (1 = event, 0 = censored) and optionally stratum, weight 1
            and entry, shape (n, 2) to (n, 5). These are the targets of the loss and of
            :meth:`survival.cohort.Cohort.y_true`.

    Returns:
        Times (float64) and events (bool), shape (n,) each.

    Raises:
        ValueError: The shape is wrong, a time is negative or missing, an event is not 0 or 1, an
            entry is neither 0 nor less than its time, or a weight is not 1.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.ndim != 2 or not 2 <= y_true.shape[1] <= 5:
        raise ValueError(
            "y_true must have columns time, event and possibly stratum, weight and entry, shape "
            f"(n, 2) to (n, 5), not {y_true.shape}"
        )
    time, event = y_true[:, 0], y_true[:, 1]
    wrong = ~(np.isfinite(time) & (time >= 0))
    if wrong.any():
        raise ValueError(
            f"times must be finite and not negative: {wrong.sum()} of {len(time)} are not, the "
            f"first is {time[wrong][0]}"
        )
    wrong = ~np.isin(event, (0, 1))
    if wrong.any():
        raise ValueError(
            f"events must be 0 or 1: {wrong.sum()} of {len(event)} are not, the first is "
            f"{event[wrong][0]}; is the second column the event?"
        )
    if y_true.shape[1] >= 4 and (wrong := y_true[:, 3] != 1).any():
        raise ValueError(
            f"metrics do not support weights: the fourth column of y_true must be 1, not "
            f"{y_true[wrong, 3][0]}"
        )
    if y_true.shape[1] == 5:
        entry = y_true[:, 4]
        wrong = ~entry_fits(time, entry)
        if wrong.any():
            raise ValueError(
                "entries must be 0 (from the start), or > 0 and before the time: "
                f"{wrong.sum()} of {len(time)} are not, the first is {entry[wrong][0]} for time "
                f"{time[wrong][0]}"
            )
    return time, event == 1


def entries(y_true: ArrayLike) -> np.ndarray | None:
    """Return the time at which observation of each row began.

    A row is at risk at times t with entry < t ≤ time. The entry −∞ includes time 0.

    Args:
        y_true: As for :func:`follow_up`.

    Returns:
        float64, shape (n,), −∞ for rows observed from the start; None if that holds for all.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.shape[1] < 5 or not (y_true[:, 4] > 0).any():
        return None
    return np.where(y_true[:, 4] > 0, y_true[:, 4], -np.inf)


def refuse_entries(y_true: ArrayLike, measure: str, reason: str) -> None:
    """Raise a ValueError if any row enters late.

    Args:
        y_true: As for :func:`follow_up`.
        measure: The measure that is then not defined, capitalized to begin a sentence.
        reason: Why it is not defined.
    """
    if (entry := entries(y_true)) is not None:
        late = int((entry > 0).sum())
        raise ValueError(
            f"{measure} is not defined with delayed entry ({late} of {len(entry)} enter late): "
            f"{reason}"
        )


def scores(risk: ArrayLike, n: int | None = None, name: str = "risk") -> np.ndarray:
    """Return risk scores as a vector.

    Args:
        risk: Scores, higher = higher risk, shape (n,) or, as Keras models return, (n, 1).
        n: Expected number of scores; by default any.
        name: Name of the scores in errors.

    Returns:
        float64, shape (n,).

    Raises:
        ValueError: The shape is wrong, or values are not finite.
    """
    risk = np.asarray(risk, "float64")
    rows, *columns = risk.shape or (None,)
    if rows is None or columns not in ([], [1]) or n not in (None, rows):
        expected = "n" if n is None else n
        raise ValueError(
            f"{name} must have shape ({expected},) or ({expected}, 1), not {risk.shape}"
        )
    wrong = ~np.isfinite(risk)
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} of {rows} values of {name} are not finite: did the training diverge?"
        )
    return risk.reshape(-1)


def labels(values: ArrayLike, n: int, name: str) -> np.ndarray:
    """Return names or numbers of groups as a vector.

    Raises:
        ValueError: The shape is not (n,).
    """
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one value per row, not {values.shape}")
    return values


def structured(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return times and events as the structured array that scikit-survival expects."""
    return Surv.from_arrays(event, time)
