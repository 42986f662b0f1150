"""C-index and AUROC of risk scores, as a table on the terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from survival.metrics import cross_dataset_table
from survival.run import follow_up, judged


def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return C-index and AUROC with intervals, per dataset and over all datasets.

    Args:
        predictions: As in :attr:`survival.run.Run.predictions`. The split ``test`` is evaluated,
            or all rows if there is no such split.

    Returns:
        The columns of :func:`survival.metrics.cross_dataset_table`.

    Raises:
        ValueError: In one of the rows no two patients can be compared.
    """
    slides = judged(predictions)
    return cross_dataset_table(
        follow_up(slides),
        slides.log_hazard.to_numpy(),
        slides.dataset.to_numpy(),
        slides.patient.to_numpy(),
    )


def print_scores(rows: pd.DataFrame, which: str) -> None:
    """Print the result of :func:`scores` as a table.

    Args:
        rows: The result.
        which: The slides that were evaluated, ``"test"`` or ``"all"``.
    """
    table = Table(box=None, caption=f"{which} slides; 95 % bootstrap intervals, patients resampled")
    for i, heading in enumerate(("data", "slides", "slides with event", "C-index", "AUROC")):
        table.add_column(heading, justify="right" if i else "left")
    for row in rows.itertuples():
        table.add_row(
            Text(row.data),  # Not markup: a name may contain brackets.
            f"{row.slides}",
            f"{row.events}",
            _with_interval(row.c_index, row.c_low, row.c_high),
            _with_interval(row.auroc, row.auroc_low, row.auroc_high),
        )
    Console(width=100).print(table)


def _with_interval(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "–"
    interval = f"{low:.3f}–{high:.3f}" if np.isfinite(low) else "too few events"
    return f"{value:.3f} ({interval})"
