"""The tables: thesis Table 7.2, by slide and by patient, and measures that heed the times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from survival.metrics import (
    cross_dataset_table,
    event_interval,
    harrell_c,
    time_dependent_auroc,
    uno_c,
    within_dataset_c,
)
from survival.report.blocks import Block, Scores

TOGETHER = {
    "merged": "merged, scores as they are",
    "standardised": "merged, standardised per dataset",
    "within": "within, pairs of one dataset",
}
UNITS = {
    "slides": "By slide",
    "mean": "By patient, mean of the slides",
    "max": "By patient, highest slide",
}


@dataclass
class Table:
    """How well the scores of a block order its rows.

    Attributes:
        title: The block's.
        unit: Key of ``UNITS``.
        datasets: Names of the datasets.
        rows: As of :func:`survival.metrics.cross_dataset_table`, by the name to show. Those that
            cannot be computed are missing.
        reasons: Why.
        cost: What merging the scores as they are costs, in words; empty for one dataset.
    """

    title: str
    unit: str
    datasets: list[str]
    rows: dict[str, dict] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    cost: str = ""

    @property
    def names(self) -> list[str]:
        """Names of all rows, computed or not."""
        return self.datasets + (list(TOGETHER.values()) if len(self.datasets) > 1 else [])


def units(block: Block) -> dict[str, Scores]:
    """What can be judged in a block: slides and, where a patient has several, patients.

    Returns:
        Rows to judge, by keys of ``UNITS``.
    """
    slides = Scores.of_slides(block)
    pairs = set(zip(slides.dataset, slides.patient, strict=True))
    if len(pairs) == len(slides.patient):
        return {"slides": slides}
    return {"slides": slides} | {how: slides.of_patients(how) for how in ("mean", "max")}


def discrimination_table(block: Block, unit: str, rows: Scores, repeats: int, seed: int) -> Table:
    """Thesis Table 7.2 of a block.

    Args:
        block: Not empty.
        unit: What the rows are, key of ``UNITS``.
        rows: They.
        repeats: Draws of the bootstrap, of patients.
        seed: Its seed.

    Returns:
        The table; where a row cannot be computed, the others and the reason.
    """
    table = Table(block.title, unit, block.datasets)
    try:
        computed = _judge(rows, np.ones(len(rows.risk), bool), repeats, seed)
    except ValueError as error:
        table.reasons.append(str(error))
        for name in block.datasets:
            try:
                table.rows[name] = _judge(rows, rows.dataset == name, repeats, seed)[0]
            except ValueError as error:
                table.reasons.append(str(error))
        table.reasons = list(dict.fromkeys(table.reasons))
        return table
    # The table of metrics sorts the datasets, and puts what is merged behind them.
    count = len(block.datasets)
    names = sorted(block.datasets) + [TOGETHER[row["data"]] for row in computed[count:]]
    table.rows = dict(zip(names, computed, strict=True))
    if count > 1:
        table.cost = _cost_of_merging(rows, repeats, seed)
    return table


def _judge(rows: Scores, chosen: np.ndarray, repeats: int, seed: int) -> list[dict]:
    table = cross_dataset_table(
        rows.y_true[chosen],
        rows.risk[chosen],
        rows.dataset[chosen].astype(str),
        rows.patient[chosen],
        repeats=repeats,
        seed=seed,
    )
    return table.to_dict("records")


def _cost_of_merging(rows: Scores, repeats: int, seed: int) -> str:
    def lost(y_true, risk, dataset):
        return within_dataset_c(y_true, risk, dataset) - harrell_c(y_true, risk)

    columns = (rows.y_true, rows.risk, rows.dataset.astype(str))
    cost = event_interval(lost, *columns, patient=rows.patient, repeats=repeats, seed=seed)
    value, low, high = (f"{v:+.3f}".replace("-", "−") for v in (cost.value, cost.low, cost.high))
    interval = f"{low} to {high}" if np.isfinite(cost.low) else "too few events for an interval"
    return f"C-index within datasets minus merged as they are: {value} ({interval})."


def timed_rows(block: Block, horizon: float, repeats: int, seed: int) -> list[dict]:
    """Uno's C and the time-dependent AUROC of every dataset of a block, by slides.

    Args:
        block: Not empty.
        horizon: The time for which the AUROC tells events before from patients followed longer.
        repeats: Draws of the bootstrap, of patients.
        seed: Its seed.

    Returns:
        Rows with ``block``, ``dataset``, ``uno_c`` and ``auroc`` (an
        :class:`~survival.metrics.Interval`, or None), and ``reasons``.
    """
    rows = []
    for part in block.parts:
        columns = part.test[["time", "event"]].to_numpy("float64"), part.test["log_hazard"]
        reasons: list[str] = []
        row: dict[str, Any] = {"block": block.title, "dataset": part.dataset, "reasons": reasons}

        def uno(y_true, risk, censoring=part.censoring):
            return uno_c(y_true, risk, censoring)

        def area(y_true, risk, censoring=part.censoring):
            _refuse_horizon(y_true, censoring, horizon)
            return time_dependent_auroc(y_true, risk, censoring, horizon)[0][0]

        for key, metric, until in (("uno_c", uno, np.inf), ("auroc", area, horizon)):
            try:
                row[key] = event_interval(
                    metric,
                    *columns,
                    patient=part.test["patient"].to_numpy(object),
                    until=until,
                    repeats=repeats,
                    seed=seed,
                )
            except ValueError as error:
                row[key] = None
                reasons.append(f"{part.dataset}: {error}")
        rows.append(row)
    return rows


def _refuse_horizon(y_true: np.ndarray, censoring: np.ndarray, horizon: float) -> None:
    """Says what another ``--horizon`` would help."""
    time, event = y_true.T
    end = min(time.max(), censoring[:, 0].max(initial=0))
    if horizon >= end:
        raise ValueError(
            f"nobody is followed beyond {end:g}; choose an earlier time with --horizon"
        )
    if event.any() and not (event == 1)[time <= horizon].any():
        first = time[event == 1].min()
        raise ValueError(
            f"the first event is at {first:g}; choose a time from there on with --horizon"
        )


def side_by_side(tables: list[Table]) -> list[list[Table]]:
    """Tables of the same rows, to be shown beside each other, as in the thesis without and with λ.

    Args:
        tables: Of several blocks.

    Returns:
        Groups of tables with the same unit, datasets, slides and events.
    """
    groups: dict[tuple, list[Table]] = {}
    for table in tables:
        sizes = tuple((name, r["slides"], r["events"]) for name, r in sorted(table.rows.items()))
        groups.setdefault((table.unit, tuple(table.names), sizes), []).append(table)
    return list(groups.values())
