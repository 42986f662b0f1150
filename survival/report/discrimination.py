"""Tables of discrimination: how well the scores order patients and slides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from survival.metrics import (
    Interval,
    cross_dataset_scores,
    event_interval,
    harrell_c,
    time_dependent_auroc,
    uno_c,
    within_dataset_c,
)
from survival.metrics.concordance import end_of_follow_up
from survival.metrics.merging import DatasetScores
from survival.names import refuse_reserved
from survival.report.blocks import Block, Scores
from survival.run import EVALUATIONS

TOGETHER = {
    "merged": "merged, scores unchanged",
    "standardized": "merged, scores standardized per dataset",
    "within": "only pairs within one dataset",
}
UNITS = {
    "mean": "By patient, mean of the slides",
    "max": "By patient, slide with the highest risk",
    "slides": "By slide",
}


@dataclass(frozen=True)
class Line:
    """A row of a table: one dataset, or all of them together.

    Attributes:
        name: Name of the row.
        rows: Number of patients or slides; 0 if nothing can be computed.
        events: How many of them have the event.
        scores: Measures by name: ``"harrell"`` and ``"auroc"`` (of the event, at any time), and in
            the leading table also ``"uno"`` and ``"timed"`` (the AUROC at a time). Measures that
            cannot be computed are absent.
    """

    name: str
    rows: int = 0
    events: int = 0
    scores: dict[str, Interval] = field(default_factory=dict)


@dataclass
class Table:
    """The discrimination of a block.

    Attributes:
        title: Title of the block.
        unit: Key of ``UNITS``.
        lines: One line per dataset, then those of all datasets together.
        reasons: Why some measures cannot be computed.
        cost: The loss by merging unchanged scores, in words; empty for one dataset.
    """

    title: str
    unit: str
    lines: list[Line]
    reasons: list[str] = field(default_factory=list)
    cost: str = ""


def refuse_names(block: Block) -> None:
    """Refuse a dataset with the name of a line for all datasets together.

    Raises:
        ValueError: There are several datasets, and one has such a name.
    """
    try:
        refuse_reserved(block.datasets, [*TOGETHER, *TOGETHER.values()])
    except ValueError as error:
        raise ValueError(
            f"{block.title}: {error} of the manifest, and of predictions.csv or "
            f"{EVALUATIONS}/NAME.csv in the run folder"
        ) from None


def score_rows(block: Block) -> dict[str, Scores]:
    """Return the rows to evaluate in a block: patients and, if any has several, slides.

    Returns:
        Rows by keys of ``UNITS``. Patients by the mean of their slides come first.

    Raises:
        ValueError: The slides of a patient have different follow-up.
    """
    slides = Scores.of_slides(block)
    patients = slides.of_patients("mean")
    if len(patients.risk) == len(slides.risk):
        return {"mean": patients}
    return {"mean": patients, "max": slides.of_patients("max"), "slides": slides}


def discrimination_table(block: Block, unit: str, rows: Scores, repeats: int, seed: int) -> Table:
    """Return Harrell's C and the AUROC of the event, as in thesis Table 7.2.

    Args:
        block: A block with at least one part.
        unit: What the rows are, a key of ``UNITS``.
        rows: The rows to evaluate.
        repeats: Bootstrap draws of patients.
        seed: Random seed of the bootstrap.

    Returns:
        The table. A measure that is not defined is absent from its line, and the reasons say why.
    """
    found, reasons, cost = {}, [], ""
    try:
        judged = cross_dataset_scores(
            rows.y_true,
            rows.risk,
            rows.dataset.astype(str),
            rows.patient,
            repeats=repeats,
            seed=seed,
        )
    except ValueError as error:
        reasons.append(str(error))
    else:
        # cross_dataset_scores sorts the datasets, and appends the combined rows.
        count = len(block.datasets)
        for i, row in enumerate(judged):
            name = row.data if i < count else TOGETHER[row.data]
            found[name] = _line(name, row)
            if row.note:
                reasons.append(f"{name}: {row.note}")
        if count > 1:
            with contextlib.suppress(ValueError):  # The reason is that of one of the lines.
                cost = _cost_of_merging(rows, repeats, seed)
    names = block.datasets + (list(TOGETHER.values()) if len(block.datasets) > 1 else [])
    lines = [found.get(name) or _size(name, rows) for name in names]
    return Table(block.title, unit, lines, reasons, cost)


def _line(name: str, row: DatasetScores) -> Line:
    measures = {"harrell": row.c, "auroc": row.auroc}
    defined = {key: score for key, score in measures.items() if score is not None}
    return Line(name, row.slides, row.events, defined)


def _size(name: str, rows: Scores) -> Line:
    """Return the line of a dataset, or of all together, for which nothing can be computed."""
    chosen = rows.dataset == name
    if not chosen.any():
        return Line(name)
    return Line(name, int(chosen.sum()), int(rows.y_true[chosen, 1].sum()))


def _cost_of_merging(rows: Scores, repeats: int, seed: int) -> str:
    def lost(y_true, risk, dataset):
        return within_dataset_c(y_true, risk, dataset) - harrell_c(y_true, risk)

    columns = (rows.y_true, rows.risk, rows.dataset.astype(str))
    cost = event_interval(lost, *columns, patient=rows.patient, repeats=repeats, seed=seed)
    value, low, high = (f"{v:+.3f}".replace("-", "−") for v in (cost.value, cost.low, cost.high))
    interval = f"{low} to {high}" if np.isfinite(cost.low) else "too few events for an interval"
    return (
        "Harrell's C of pairs within datasets minus Harrell's C of merged, unchanged scores: "
        f"{value} ({interval})."
    )


def leading_table(
    block: Block, table: Table, patients: Scores, horizon: float, repeats: int, seed: int
) -> Table:
    """Add Uno's C and the AUROC at a time, which account for censoring, to a table by patient.

    Args:
        block: A block with at least one part.
        table: The table of this block, by patient.
        patients: The patients of the table.
        horizon: Time of the AUROC, which compares events until then with patients followed longer.
        repeats: Bootstrap draws of patients.
        seed: Random seed of the bootstrap.

    Returns:
        The table with ``"uno"`` and ``"timed"`` for every dataset, or the reasons why not.
    """
    reasons, lines = list(table.reasons), {line.name: line for line in table.lines}
    for part in block.parts:
        chosen = patients.dataset == part.dataset
        columns = patients.y_true[chosen], patients.risk[chosen]
        scores, why = _with_censoring(*columns, part.censoring, horizon, repeats, seed)
        line = lines[part.dataset]
        lines[part.dataset] = replace(line, scores=line.scores | scores)
        # If Harrell's C cannot be computed, its reason also holds for these measures.
        if "harrell" in line.scores:
            reasons += [f"{part.dataset}: {reason}" for reason in why]
    return replace(table, lines=list(lines.values()), reasons=list(dict.fromkeys(reasons)))


def _with_censoring(
    y_true: np.ndarray,
    risk: np.ndarray,
    censoring: np.ndarray,
    horizon: float,
    repeats: int,
    seed: int,
) -> tuple[dict[str, Interval], list[str]]:
    def uno(y_true, risk):
        return uno_c(y_true, risk, censoring)

    def area(y_true, risk):
        _refuse_horizon(y_true, censoring, horizon)
        return time_dependent_auroc(y_true, risk, censoring, horizon)[0][0]

    def last_for_uno():
        """Return the last time at which an event counts for Uno's C."""
        return np.nextafter(end_of_follow_up(censoring), -np.inf)

    metrics: dict[str, tuple[Callable[..., float], Callable[[], float]]]
    metrics = {"uno": (uno, last_for_uno), "timed": (area, lambda: horizon)}
    scores, reasons = {}, []
    for key, (metric, last) in metrics.items():
        try:
            scores[key] = event_interval(
                metric, y_true, risk, until=last(), repeats=repeats, seed=seed
            )
        except ValueError as error:
            reasons.append(str(error))
    return scores, reasons


def _refuse_horizon(y_true: np.ndarray, censoring: np.ndarray, horizon: float) -> None:
    """Raise an error with advice on ``--horizon`` if the AUROC is not defined at this time."""
    time, event = y_true[:, 0], y_true[:, 1]
    end = min(time.max(), censoring[:, 0].max(initial=0))
    if horizon >= end:
        raise ValueError(
            f"no patient is followed beyond {end:g}; choose an earlier time with --horizon"
        )
    if event.any() and not (event == 1)[time <= horizon].any():
        first = time[event == 1].min()
        raise ValueError(
            f"the first event is at {first:g}; choose that time or a later one with --horizon"
        )
