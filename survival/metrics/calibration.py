"""Calibration: predicted survival compared with observed survival."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from survival.metrics.arrays import follow_up, refuse_entries, scores
from survival.metrics.risk_groups import assign_risk_groups, kaplan_meier, risk_thresholds


def calibration_table(
    y_true: ArrayLike,
    survival: ArrayLike,
    horizon: float,
    groups: int = 4,
    risk: ArrayLike | None = None,
) -> pd.DataFrame:
    """Compare predicted survival with the Kaplan–Meier estimate in groups of equal size.

    Args:
        y_true: Time and event, one row per patient, shape (n, 2) or (n, 3).
        survival: Predicted probability of being without the event at the horizon, shape (n,) or
            (n, 1), as returned by :meth:`~survival.metrics.BaselineHazard.survival`.
        horizon: The time for which it is predicted, > 0.
        groups: Number of risk groups.
        risk: Scores by which patients are grouped, shape (n,) or (n, 1), such as the log-hazards;
            by default the predicted probability, of which many may round to 0 or 1.

    Returns:
        One row per group, from the lowest risk to the highest: ``group``, ``patients``, ``events``
        until the horizon, ``predicted`` (mean), ``observed`` (Kaplan–Meier at the horizon, NaN if
        the group's follow-up ends before it) and its 95 % bounds ``low`` and ``high``.

    Raises:
        ValueError: A probability is outside [0, 1], the horizon is not positive, there are too few
            different predictions, or a patient enters late.
    """
    refuse_entries(
        y_true,
        "Calibration",
        "patients who enter late have survived until then, so their mean prediction does not "
        "describe the group that the Kaplan–Meier estimate describes",
    )
    time, event = follow_up(y_true)
    survival = scores(survival, len(time), "survival")
    if ((survival < 0) | (survival > 1)).any():
        raise ValueError(
            "survival must be probabilities between 0 and 1, not log-hazards; the values range "
            f"from {survival.min():g} to {survival.max():g}"
        )
    if not horizon > 0:
        raise ValueError(f"horizon must be a time > 0, not {horizon}")
    order = -survival if risk is None else scores(risk, len(time))
    group = assign_risk_groups(order, risk_thresholds(order, groups))
    rows = []
    for curve in kaplan_meier(y_true, group):
        chosen = group == curve.group
        observed, low, high = curve.at(horizon)
        rows.append(
            {
                "group": int(curve.group),
                "patients": curve.patients,
                "events": int((event & (time <= horizon))[chosen].sum()),
                "predicted": float(np.mean(survival[chosen])),
                "observed": observed,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
