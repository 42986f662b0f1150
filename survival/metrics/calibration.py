"""Whether predicted probabilities come true: predicted against observed survival."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from survival.metrics.arrays import follow_up, refuse_entries, scores
from survival.metrics.risk_groups import assign_risk_groups, kaplan_meier, risk_thresholds


def calibration_table(
    y_true: ArrayLike, survival: ArrayLike, horizon: float, groups: int = 4
) -> pd.DataFrame:
    """Compares predicted survival with the Kaplan–Meier estimate in groups of equal size.

    Args:
        y_true: Time and event, one row per patient, shape (n, 2) or (n, 3).
        survival: Predicted probability of being without the event at the horizon, shape (n,) or
            (n, 1), as :meth:`~survival.metrics.BaselineHazard.survival` gives.
        horizon: The time that it is predicted for.
        groups: How many groups of risk.

    Returns:
        One row per group, from lowest risk to highest: ``group``, ``patients``, ``events`` until
        the horizon, ``predicted`` (mean), ``observed`` (Kaplan–Meier at the horizon, NaN if the
        group's follow-up ends before it) and its 95 % bounds ``low`` and ``high``.

    Raises:
        ValueError: Probabilities outside 0 … 1, a horizon ≤ 0, or too few different predictions;
            or somebody enters late.
    """
    refuse_entries(
        y_true,
        "Calibration",
        "who enters late has survived until then, so the mean prediction of those observed is not "
        "that of the group for which Kaplan–Meier speaks",
    )
    time, event = follow_up(y_true)
    survival = scores(survival, len(time), "survival")
    if ((survival < 0) | (survival > 1)).any():
        raise ValueError(
            "survival must be probabilities between 0 and 1, not log-hazards: they reach from "
            f"{survival.min():g} to {survival.max():g}"
        )
    if not horizon > 0:
        raise ValueError(f"horizon must be a time > 0, not {horizon}")
    group = assign_risk_groups(-survival, risk_thresholds(-survival, groups))
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
