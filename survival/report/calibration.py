"""Calibration: predicted and observed probabilities at one time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from resbuilder.common.figures import GRAY
from resbuilder.common.words import count
from survival.metrics import BaselineHazard, calibration_table
from survival.metrics.bootstrap import FEWEST_EVENTS
from survival.report.blocks import Block, Part, patients_of
from survival.report.style import (
    COLORS,
    MARKERS,
    Picture,
    at_time,
    new_figure,
    number,
    picture,
    short,
)

# The fewest patients in a group, and the most groups.
SMALLEST, MOST = 5, 4


def calibration_picture(
    block: Block, horizon: float, unit: str | None
) -> tuple[Picture | None, list[str]]:
    """Draw the observed over the predicted probability of being without the event.

    Log-hazards are converted to probabilities with Breslow's baseline hazard, estimated from the
    patients on whom the same network was trained.

    Args:
        block: The block; it may be empty.
        horizon: The time at which the probabilities hold.
        unit: Unit of the times, None if unknown.

    Returns:
        The figure, or None if there is nothing to show, and the reasons for missing parts.
    """
    figure = new_figure(4.9)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1)
    said, reasons = [], []
    for place, part in enumerate(block.parts):
        try:
            table = _table(part, horizon)
        except ValueError as error:
            reasons.append(f"{part.dataset}: {error}.")
            continue
        known = table.dropna(subset=["observed"])
        if len(known) < len(table):
            reasons.append(
                f"{part.dataset}: in {len(table) - len(known)} of {count(len(table), 'group')}, "
                "follow-up ends before that time."
            )
        if known.empty:
            continue
        few = table["events"].sum() < FEWEST_EVENTS
        if few:
            reasons.append(
                f"{part.dataset}: gray, because fewer than {FEWEST_EVENTS} patients had the event "
                "by then."
            )
        observed = known["observed"].to_numpy()
        axes.errorbar(
            known["predicted"],
            observed,
            # If nobody or everybody had the event, the interval has no bounds: draw no bar.
            np.nan_to_num([observed - known["low"], known["high"] - observed]).clip(0),
            fmt=MARKERS[place % len(MARKERS)],
            color=GRAY if few else COLORS[place % len(COLORS)],
            alpha=0.5 if few else 1,
            elinewidth=1.2,
            capsize=3,
            label=f"{short(part.dataset)} ({count(int(known['patients'].sum()), 'patient')})",
        )
        pairs = zip(known["predicted"], observed, strict=True)
        values = ", ".join(f"{number(p, 2)} and {number(o, 2)}" for p, o in pairs)
        said.append(f"{part.dataset}: predicted and observed {values}")
    if not said:
        return None, reasons
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(f"predicted: without event at {at_time(horizon, unit)}")
    axes.set_ylabel("observed (Kaplan–Meier)")
    figure.legend(loc="outside upper left", ncols=1)
    return picture(figure, f"Calibration at {at_time(horizon, unit)}. {'; '.join(said)}."), reasons


def _table(part: Part, horizon: float) -> pd.DataFrame:
    if part.train.empty:
        raise ValueError(
            "no predicted probabilities, because comparable training slides are missing"
        )
    y_true, risk = patients_of(part.test)
    groups = min(MOST, len(risk) // SMALLEST)
    if groups < 2:
        raise ValueError(
            f"{count(len(risk), 'patient')} to evaluate, too few for 2 groups of {SMALLEST}"
        )
    if horizon > (end := part.train["time"].max()):
        raise ValueError(
            f"no training patient is followed beyond {end:g}; choose an earlier time with --horizon"
        )
    baseline = BaselineHazard(*patients_of(part.train))
    survival = baseline.survival(risk, [horizon])
    # Probabilities round to 0 and 1; log-hazards are still different then.
    return calibration_table(y_true, survival, horizon, groups, risk)
