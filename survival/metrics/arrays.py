"""Arrays as the metrics take them: follow-up and scores of a whole split, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sksurv.util import Surv


def follow_up(y_true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Times and events of ``y_true``.

    Args:
        y_true: Time ≥ 0, event (1 = event, 0 = censored) and possibly a stratum in columns, shape
            (n, 2) or (n, 3), as :meth:`survival.cohort.Cohort.y_true` gives and the loss takes.

    Returns:
        Times (float64) and events (bool), shape (n,) each.

    Raises:
        ValueError: Another shape, negative or missing times, events other than 0 and 1.
    """
    y_true = np.asarray(y_true, "float64")
    if y_true.ndim != 2 or y_true.shape[1] not in (2, 3):
        raise ValueError(
            "y_true must have columns time, event and possibly stratum, shape (n, 2) or (n, 3), "
            f"not {y_true.shape}"
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
    return time, event == 1


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
