"""C-index and AUROC of risk scores, as a table on the terminal."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resbuilder.common.words import some
from survival.metrics import cross_dataset_table, per_patient
from survival.run import follow_up, judged


def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return C-index and AUROC with intervals, per dataset and over all datasets.

    Args:
        predictions: As in :attr:`survival.run.Run.predictions`. The split ``test`` is evaluated,
            or all rows if there is no such split.

    Returns:
        The columns of :func:`survival.metrics.cross_dataset_table`.

    Raises:
        ValueError: No measure is defined in any of the rows.
    """
    slides = judged(predictions)
    return cross_dataset_table(
        follow_up(slides),
        slides.log_hazard.to_numpy(),
        slides.dataset.to_numpy(),
        slides.patient.to_numpy(),
    )


def scores_by_patient(predictions: pd.DataFrame) -> pd.DataFrame | None:
    """Return the same for patients: each has the mean score of the patient's slides in a dataset.

    Args:
        predictions: See :func:`scores`.

    Returns:
        The columns of :func:`scores` with ``patients`` instead of ``slides``; None if each patient
        has one slide in a dataset, because the scores are the same then.

    Raises:
        ValueError: No measure is defined in any of the rows, or the slides of a patient have
            different follow-up.
    """
    slides = judged(predictions)
    # As JSON, since any separator could be part of a name.
    both = [json.dumps(pair) for pair in zip(slides.dataset, slides.patient, strict=True)]
    found = per_patient(follow_up(slides), slides.log_hazard.to_numpy(), np.array(both))
    if len(found.risk) == len(slides):
        return None
    first = slides.iloc[found.first]
    dataset, patient = first.dataset.to_numpy(), first.patient.to_numpy()
    table = cross_dataset_table(found.y_true, found.risk, dataset, patient)
    return table.rename(columns={"slides": "patients"})


def print_scores(rows: pd.DataFrame, which: str) -> None:
    """Print the result of :func:`scores` or :func:`scores_by_patient` as a table.

    Args:
        rows: The result.
        which: The slides that were evaluated, ``"test"`` or ``"all"``.
    """
    unit = rows.columns[1]
    of = f"{which} slides" if unit == "slides" else f"patients, mean of their {which} slides"
    table = Table(box=None, caption=f"{of}; 95 % bootstrap intervals, patients resampled")
    for i, heading in enumerate(("data", unit, f"{unit} with event", "C-index", "AUROC")):
        table.add_column(heading, justify="right" if i else "left")
    for row in rows.rename(columns={unit: "number"}).itertuples():
        table.add_row(
            Text(row.data),  # Not markup: a name may contain brackets.
            f"{row.number}",
            f"{row.events}",
            _with_interval(row.c_index, row.c_low, row.c_high),
            _with_interval(row.auroc, row.auroc_low, row.auroc_high),
        )
    Console(width=100).print(table)


def undefined(rows: pd.DataFrame) -> list[str]:
    """Return which rows of a table of scores have undefined measures, and why.

    Args:
        rows: The result of :func:`scores` or :func:`scores_by_patient`.

    Returns:
        One line for all rows with the same reason.
    """
    named: dict[str, list[str]] = {}
    for row in rows[rows["note"] != ""].itertuples():
        named.setdefault(row.note, []).append(row.data)
    return [f"{some(names)}: {note}" for note, names in named.items()]


def _with_interval(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "–"
    interval = f"{low:.3f}–{high:.3f}" if np.isfinite(low) else "too few events"
    return f"{value:.3f} ({interval})"
