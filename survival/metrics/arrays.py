"""Arrays as the metrics take them: follow-up and scores of a whole split, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sksurv.util import Surv


def follow_up(y_true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Times and events of ``y_true``.

    Args:
        y_true: Time ≥ 0, event (1 = event, 0 = censored) and possibly a stratum in columns, shape
            (n, 2) or (n, 3); or these, weight 1 and entry, shape (n, 5), as
            :meth:`survival.cohort.Cohort.y_true` gives and the loss takes.

    Returns:
        Times (float64) and events (bool), shape (n,) each.

    Raises:
        ValueError: Another shape, negative or missing times, events other than 0 and 1, entries
            that are not before the time, other weights than 1.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.ndim != 2 or y_true.shape[1] not in (2, 3, 5):
        raise ValueError(
            "y_true must have columns time, event and possibly stratum, shape (n, 2) or (n, 3), or "
            f"time, event, stratum, weight and entry, shape (n, 5), not {y_true.shape}"
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
    if y_true.shape[1] == 5:
        weight, entry = y_true[:, 3], y_true[:, 4]
        if (weight != 1).any():
            raise ValueError(
                f"metrics take no weights: the fourth column of y_true must be 1, not "
                f"{weight[weight != 1][0]}"
            )
        wrong = ~((entry == 0) | ((entry > 0) & (entry < time)))
        if wrong.any():
            raise ValueError(
                "entries must be 0 (from the start), or > 0 and before the time: "
                f"{wrong.sum()} of {len(time)} are not, the first is {entry[wrong][0]} for time "
                f"{time[wrong][0]}"
            )
    return time, event == 1


def entries(y_true: ArrayLike) -> np.ndarray | None:
    """When each row came under observation.

    A row is at risk at the times t with entry < t ≤ time; with −∞ also at time 0.

    Args:
        y_true: As :func:`follow_up` takes it.

    Returns:
        float64, shape (n,), −∞ for rows from the start; None if all are.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.shape[1] < 5 or not (y_true[:, 4] > 0).any():
        return None
    return np.where(y_true[:, 4] > 0, y_true[:, 4], -np.inf)


def refuse_entries(y_true: ArrayLike, measure: str, reason: str) -> None:
    """Raise a ValueError if somebody enters late.

    Args:
        y_true: As :func:`follow_up` takes it.
        measure: What is not defined then, as a sentence begins.
        reason: Why.
    """
    if (entry := entries(y_true)) is not None:
        late = int((entry > 0).sum())
        raise ValueError(
            f"{measure} is not defined with delayed entry ({late} of {len(entry)} enter late): "
            f"{reason}"
        )


def scores(risk: ArrayLike, n: int, name: str = "risk") -> np.ndarray:
    """Predictions as a vector.

    Args:
        risk: Higher = higher risk, shape (n,) or, as Keras predicts, (n, 1).
        n: How many there must be.
        name: What the error calls them.

    Returns:
        float64, shape (n,).

    Raises:
        ValueError: Another shape, or values that are not finite.
    """
    risk = np.asarray(risk, "float64")
    if risk.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name} must have shape ({n},) or ({n}, 1), not {risk.shape}")
    wrong = ~np.isfinite(risk)
    if wrong.any():
        raise ValueError(
            f"{wrong.sum()} of {n} values of {name} are not finite: did the training diverge?"
        )
    return risk.reshape(n)


def labels(values: ArrayLike, n: int, name: str) -> np.ndarray:
    """Names or numbers of groups as a vector.

    Raises:
        ValueError: Another shape than (n,).
    """
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one per prediction, not {values.shape}")
    return values


def structured(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Times and events as scikit-survival takes them."""
    return Surv.from_arrays(event, time)
