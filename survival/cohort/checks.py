"""What can be wrong with a cohort manifest: everything that is, at once, with its row."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SPLITS = ("train", "validation", "test")
# downsample and mpp are for the preprocessing, which may treat every slide differently.
OPTIONAL = ("dataset", "split", "downsample", "mpp")


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        problems: One line each, in the order of the rows.
    """

    def __init__(self, source: str | Path, problems: list[str]):
        # A cell may be longer than anybody would read.
        self.problems = tuple(p if len(p) <= 500 else f"{p[:500]}..." for p in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{source} has {count}:\n  " + ";\n  ".join(self.problems))


def find_problems(
    table: pd.DataFrame,
    time: str = "time",
    event: str = "event",
    folder: str | Path | None = None,
    need_events: bool = True,
) -> list[str]:
    """Checks a manifest.

    Args:
        table: Strings or numbers; the index is the row that a problem is reported at.
        time: Column of the follow-up times.
        event: Column of the events, 1 = event, 0 = censored.
        folder: What the slides' paths are relative to; if given, the files must exist.
        need_events: Whether every split must contain an event.

    Returns:
        One line for each problem; empty if there is none.

    Raises:
        ValueError: ``folder`` is not a folder.
    """
    required = ("slide", "patient", time, event)
    missing = [c for c in dict.fromkeys(required) if c not in table.columns]
    there = ", ".join(map(str, table.columns)) or "none"
    # A name that somebody chose is more likely wrong than the table: nothing else is said then.
    chosen = {"time": time, "event": event}
    mistyped = [(n, c) for n, c in chosen.items() if c != n and c in missing]
    if mistyped:
        return [f"{n}: column {c!r} is missing; the columns are {there}" for n, c in mistyped]
    problems = [
        f"column {c!r} is unknown; known are {', '.join(dict.fromkeys(required + OPTIONAL))}, and "
        "pairs NAME_time, NAME_event for further endpoints"
        for c in table.columns
        if not (c in required + OPTIONAL + ("time", "event") or c.endswith(("_time", "_event")))
    ]
    problems += [f"column {c!r} is missing; the columns are {there}" for c in missing]
    if time == event:
        problems.append(f"time and event are both read from column {time!r}")
    if missing or time == event:
        return problems
    if table.empty:
        return [*problems, "there are no rows"]
    found: list[tuple[int, str]] = []
    times = _times(table[time], time, found)
    events = _events(table[event], event, found)
    _names(table, found)
    splits = table["split"] if "split" in table else pd.Series("", table.index)
    splits = splits.map(lambda cell: "" if is_blank(cell) else str(cell))
    _splits(splits, found)
    _patients(table["patient"], times, events, splits, found)
    if folder is not None:
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        found += [
            (row, f"there is no file {slide!r} in {folder}")
            for row, slide in table["slide"].items()
            # A name that is too long, or holds a NUL, is no file either.
            if not is_blank(slide) and not os.path.isfile(folder / str(slide))
        ]
    # Stable: what is wrong with one row stays in the order of the checks.
    problems += [f"row {row}: {text}" for row, text in sorted(found, key=lambda f: f[0])]
    if need_events:
        problems += [
            f"{f'split {split!r}' if split else 'the cohort'} has no event: nothing can be learned "
            "from it or compared in it"
            for split in dict.fromkeys(splits)
            if not (events[splits == split] == 1).any()
        ]
    return problems


def _number(cell: Any) -> float:
    """The cell as a number, NaN if it is none."""
    if isinstance(cell, str) and "_" in cell:
        return math.nan  # Python reads 1_0 as 10; whoever wrote it hardly meant that.
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def is_blank(cell: object) -> bool:
    """Whether a cell holds nothing: None, NaN or blanks."""
    return cell is None or cell != cell or not str(cell).strip()


def _times(cells: pd.Series, name: str, found: list) -> pd.Series:
    times = cells.map(_number).astype(float)
    for row, cell in cells[~((times >= 0) & np.isfinite(times))].items():
        if is_blank(cell):
            text = f"{name} is missing"
        elif times[row] < 0:
            text = f"{name} {cell!r} is negative"
        else:
            text = f"{name} {cell!r} is not a number (decimal point, not comma)"
        found.append((row, text))
    return times


def _events(cells: pd.Series, name: str, found: list) -> pd.Series:
    events = cells.map(_number).astype(float)
    for row, cell in cells[~events.isin((0, 1))].items():
        text = "is missing" if is_blank(cell) else f"{cell!r} is neither 1 (event) nor 0"
        found.append((row, f"{name} {text}"))
    return events


def _names(table: pd.DataFrame, found: list) -> None:
    for column in [c for c in ("slide", "patient", "dataset") if c in table]:
        blank = table[column].map(is_blank)
        found += [(row, f"{column} is missing") for row in table.index[blank]]
    first: dict = {}
    for row, slide in table["slide"].items():
        if not is_blank(slide) and first.setdefault(slide, row) != row:
            found.append((row, f"slide {slide!r} is already in row {first[slide]}"))


def _splits(splits: pd.Series, found: list) -> None:
    if not splits.any():
        return  # not split yet
    for row, split in splits[~splits.isin(SPLITS)].items():
        text = f"split {split!r} is none of {', '.join(SPLITS)}" if split else "split is missing"
        found.append((row, text))


def _patients(patients, times, events, splits, found: list) -> None:
    """One patient: one split, one follow-up."""
    first: dict = {}
    for row, patient in patients.items():
        before = first.setdefault(patient, row)
        if before == row or is_blank(patient):
            continue
        if splits[row] != splits[before]:
            found.append(
                (
                    row,
                    f"patient {patient!r} is in split {splits[row]!r} here and in "
                    f"{splits[before]!r} in row {before}",
                )
            )
        here, there = ((times[r], events[r]) for r in (row, before))
        if here != there and not np.isnan([*here, *there]).any():
            found.append(
                (
                    row,
                    f"patient {patient!r} has time {here[0]:g}, event {here[1]:g} here and time "
                    f"{there[0]:g}, event {there[1]:g} in row {before}",
                )
            )
