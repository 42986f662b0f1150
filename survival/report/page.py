"""The report: a single HTML file that contains everything it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resbuilder.common.files import atomically
from resbuilder.common.page import page_template
from resbuilder.common.words import count
from survival import checks as numbers
from survival.cohort import SPLITS, median_follow_up
from survival.cohort.plausible import same_unit, unlike_units
from survival.report.blocks import Block, Part, Scores, follow_up, make_blocks
from survival.report.calibration import calibration_picture
from survival.report.curves import curves_picture
from survival.report.discrimination import (
    TOGETHER,
    UNITS,
    Table,
    discrimination_table,
    leading_table,
    refuse_names,
    score_rows,
)
from survival.report.distributions import distribution_picture
from survival.report.finding import finding
from survival.report.risk_groups import kaplan_meier_pictures
from survival.report.settings import open_runs, settings_rows, text
from survival.report.settings import time_unit as unit_of
from survival.report.slides import extremes, slide_count
from survival.report.style import at_time, number, styled
from survival.run import Run


def write_report(
    folders: Iterable[str | Path],
    out: str | Path,
    horizon: float | None = None,
    groups: int = 2,
    repeats: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    time_unit: str | None = None,
    anonymous: bool = False,
    remarks: Iterable[str] = (),
) -> None:
    """Write the report on one or more training runs.

    Args:
        folders: Run folders. Runs that differ only in their data are evaluated together.
        out: HTML file, which is written atomically.
        horizon: Time for calibration and the time-dependent AUROC. By default the median follow-up
            of all training patients (reverse Kaplan–Meier), moved to a time at which every dataset
            has had an event and still has patients under follow-up.
        groups: Number of risk groups for the Kaplan–Meier curves, 2 to 4.
        repeats: Bootstrap draws.
        seed: Random seed of the bootstrap.
        progress: Called with the number of finished steps and the total.
        time_unit: Unit of the times; by default as stated in the runs.
        anonymous: Whether to omit the names of slides and patients.
        remarks: Remarks to show at the top of the page.

    Raises:
        ValueError: A number is out of range, a folder does not contain a finished training, runs
            cannot be evaluated together, a dataset has the name of a line of the tables, or their
            time unit differs from ``time_unit``.
    """
    if horizon is not None:
        horizon = numbers.number("horizon", horizon, "a number > 0", lambda v: v > 0)
    if numbers.whole_number("groups", groups) not in (2, 3, 4):
        raise ValueError(f"groups must be 2, 3 or 4, not {groups}")
    repeats, seed = numbers.whole_number("repeats", repeats), numbers.whole_number("seed", seed, 0)
    runs = open_runs(folders)
    stated_unit = unit_of(runs)
    if None not in (stated_unit, time_unit) and not same_unit(stated_unit, time_unit):
        raise ValueError(f"the runs have times in {stated_unit}, not in {time_unit}")
    unit = stated_unit or time_unit
    blocks = make_blocks(runs)
    for block in blocks:
        refuse_names(block)
    if horizon is None:
        parts = [part for block in blocks for part in block.parts]
        horizon = _within_follow_up(_median_follow_up(runs.values()), parts)
    with_parts = [block for block in blocks if block.parts]
    notes = [*remarks, *(note for block in blocks for note in block.notes)]
    for block in with_parts:
        if said := unlike_units({f"dataset {p.dataset!r}": p.test["time"] for p in block.parts}):
            notes.append(f"{block.title}: {said}.")
    to_evaluate = [(b, rows) for b in with_parts if (rows := _score_rows(b, notes))]
    shown = sum(map(slide_count, runs.values()))
    steps = sum(1 + len(rows) for _, rows in to_evaluate) + 3 * len(with_parts) + len(runs) + shown
    step = _Steps(progress, steps)
    with styled():
        leading: list[Table] = []
        collapsed: list[Table] = []
        for block, rows in to_evaluate:
            tables = [
                step(discrimination_table(block, kind, scores, repeats, seed))
                for kind, scores in rows.items()
            ]
            collapsed += tables
            by_patient = leading_table(block, tables[0], rows["mean"], horizon, repeats, seed)
            leading.append(step(by_patient))
        context: dict[str, Any] = {
            "leading": leading,
            "collapsed": {key: [t for t in collapsed if t.unit == key] for key in UNITS},
            "findings": [
                (table.title, finding(table, block.datasets))
                for table, (block, _) in zip(leading, to_evaluate, strict=True)
            ],
            "distributions": [(b.title, step(distribution_picture(b))) for b in with_parts],
            "groups": [
                (b.title, *step(kaplan_meier_pictures(b, groups, unit))) for b in with_parts
            ],
            "calibration": [
                (b.title, *step(calibration_picture(b, horizon, unit))) for b in with_parts
            ],
            "curves": [step(curves_picture(name, run)) for name, run in runs.items()],
        }
    context |= {
        "runs": [_summary(name, run) for name, run in runs.items()],
        "settings": settings_rows(runs),
        "extremes": [extremes(name, run, step, anonymous) for name, run in runs.items()],
        "notes": list(dict.fromkeys(notes)),
        "horizon": horizon,
        "repeats": repeats,
        "seed": seed,
        "unit": unit,
        "units": UNITS,
        "together": list(TOGETHER.values()),
    }
    filters: dict[str, Callable[..., str]] = {
        "number": number,
        "counted": count,
        "at_time": lambda time: at_time(time, unit),
    }
    html = page_template("survival.report", **filters).render(context)
    with atomically(Path(out)) as temporary:
        # File names need not be valid UTF-8.
        # The same bytes on every system, by which --overwrite knows the page.
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace", newline="\n")


class _Steps:
    """Count finished steps and report them."""

    def __init__(self, progress: Callable[[int, int], None], total: int):
        self._progress, self._total, self._done = progress, total, 0
        progress(0, total)

    def __call__(self, result=None):
        self._done += 1
        self._progress(self._done, self._total)
        return result


def _score_rows(block: Block, notes: list[str]) -> dict[str, Scores]:
    """Return the rows to evaluate in a block; if there are none, add the reason to the notes."""
    try:
        return score_rows(block)
    except ValueError as error:
        notes.append(f"{block.title} cannot be evaluated: {error}.")
        return {}


def _median_follow_up(runs: Iterable[Run]) -> float:
    """Return the median follow-up of the training patients; test data must not influence it."""
    slides = pd.concat([run.predictions for run in runs])
    train = slides[slides["split"] == "train"].drop_duplicates(["dataset", "patient"])
    if train.empty:
        raise ValueError("horizon must be given, because no run has a training split")
    time, event, *rest = follow_up(train).T
    # For patients who enter late, follow-up counts from entry.
    median = median_follow_up(time - rest[-1] if rest else time, event == 1)
    # The median is NaN if the curve never falls to 0.5, that is, if everyone with the longest
    # follow-up had the event.
    return median if median == median else float(np.median(time))


def _within_follow_up(time: float, parts: list[Part]) -> float:
    """Return the nearest time at which every dataset has had an event and has patients left.

    Args:
        time: Desired time.
        parts: All parts that are evaluated; only their first events and last times are used.

    Returns:
        The time, at most 0.9 times the shortest follow-up of a dataset, because no patients remain
        at its end.
    """
    followed = [f[:, 0] for p in parts for f in (p.censoring, *map(follow_up, (p.test, p.train)))]
    latest = 0.9 * min((times.max() for times in followed if len(times)), default=np.inf)
    with_event = [part.test.loc[part.test["event"] == 1, "time"] for part in parts]
    earliest = max((times.min() for times in with_event if len(times)), default=0.0)
    earliest = min(earliest, latest)
    inside = float(np.clip(time, earliest, latest))
    # Three significant digits are easier to read.
    short = float(f"{inside:.3g}")
    return short if earliest <= short <= latest else inside


def _summary(name: str, run: Run) -> dict:
    """Return a row of the table of runs: data by split, and the epoch that was kept."""
    slides = run.predictions
    splits = {split: slides[slides["split"] == split] for split in SPLITS}
    chosen_by = run.settings.get("chosen_by")
    return {
        "name": name,
        "datasets": text(sorted(set(slides["dataset"]))),
        "splits": {
            split: {
                "slides": len(rows),
                "patients": rows["patient"].nunique(),
                "events": int(rows.drop_duplicates("patient")["event"].sum()),
            }
            for split, rows in splits.items()
        },
        "evaluations": text(list(run.evaluations)),
        "kept": text(run.settings.get("kept_epoch")),
        "chosen_by": "highest validation C-index" if chosen_by == "val_cindex" else text(chosen_by),
    }
