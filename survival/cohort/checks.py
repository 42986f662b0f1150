"""What can be wrong with a cohort manifest: everything is named at once, with its rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resbuilder.common.words import some
from survival.names import find_files

SPLITS = ("train", "validation", "test")
REQUIRED = ("slide", "patient")
# downsample and mpp are for the preprocessing, which may treat every slide differently.
OPTIONAL = ("entry", "dataset", "split", "time_unit", "downsample", "mpp")
# Rows that a line names.
MOST_ROWS = 5
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}.*|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})")


class Problems:
    """Collects what is wrong with rows, one line for each cause."""

    def __init__(self) -> None:
        self._by_cause: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, row: int, cause: str, text: str | None = None) -> None:
        """Add what is wrong with a row.

        Args:
            row: Its number.
            cause: Same for all rows with the same fault.
            text: What the message says of this row; by default the cause.
        """
        self._by_cause[cause].append((row, text or cause))

    def lines(self) -> list[str]:
        """Return a line per cause, in the order of the first rows."""
        lines = []
        for rows in sorted(self._by_cause.values(), key=lambda found: found[0][0]):
            (row, text), others = rows[0], [str(other) for other, _ in rows[1:]]
            if others:
                text += f"; likewise in row {some(others, MOST_ROWS)}"
            lines.append(f"row {row}: {text}")
        return lines


class ManifestError(ValueError):
    """A manifest that cannot be used.

    Attributes:
        problems: One line for each cause, in the order of the rows.
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
    """Check a manifest.

    Args:
        table: Strings or numbers; the index is the row that a problem is reported at.
        time: Column of the follow-up times.
        event: Column of the events, 1 = event, 0 = censored.
        folder: What the slides' paths are relative to; if given, the files must exist, in it or,
            by a file name that occurs once, in a sub-folder.
        need_events: Whether every split must contain an event.

    Returns:
        One line for each cause; empty if nothing is wrong.

    Raises:
        ValueError: ``folder`` is not a folder.
    """
    required = (*REQUIRED, time, event)
    missing = [c for c in dict.fromkeys(required) if c not in table.columns]
    there = ", ".join(map(str, table.columns)) or "none"
    # A name that somebody chose is more likely wrong than the table: nothing else is said then.
    chosen = {"time": time, "event": event}
    mistyped = [(n, c) for n, c in chosen.items() if c != n and c in missing]
    if mistyped:
        return [f"{n}: column {c!r} is missing; the columns are {there}" for n, c in mistyped]
    problems = [f"column {c!r} is missing; the columns are {there}" for c in missing]
    if time == event:
        problems.append(f"time and event are both read from column {time!r}")
    if missing or time == event:
        return problems
    if table.empty:
        return [*problems, "there are no rows"]
    found = Problems()
    times = _times(table[time], time, found)
    events = _events(table[event], event, found)
    entries = pd.Series(0.0, table.index)
    if "entry" in table:
        entries = _entries(table["entry"], times, time, found)
    _names(table, found)
    splits = table["split"] if "split" in table else pd.Series("", table.index)
    splits = splits.map(lambda cell: "" if is_blank(cell) else str(cell))
    _splits(splits, found)
    _patients(table["patient"], times, events, entries, splits, found)
    if folder is not None:
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        _files(table["slide"], folder, found)
    if "time_unit" in table and len(units := set(table["time_unit"])) > 1:
        problems.append(f"time_unit must be the same in all rows; it is {sorted(map(str, units))}")
    problems += found.lines()
    if need_events:
        problems += [
            f"{f'split {split!r}' if split else 'the cohort'} has no event: nothing can be learned "
            "from it or compared in it"
            for split in dict.fromkeys(splits)
            if not (events[splits == split] == 1).any()
        ]
    return problems


def _number(cell: Any) -> float:
    """Return the cell as a number, NaN if it is not one."""
    if isinstance(cell, str) and "_" in cell:
        return math.nan  # Python reads 1_0 as 10; a user hardly means that.
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def is_blank(cell: object) -> bool:
    """Return whether a cell holds nothing: None, NaN or blanks."""
    return cell is None or cell != cell or not str(cell).strip()


def _times(cells: pd.Series, name: str, found: Problems, if_missing: str = "") -> pd.Series:
    times = cells.map(_number).astype(float)
    for row, cell in cells[~((times >= 0) & np.isfinite(times))].items():
        if is_blank(cell):
            found.add(row, f"{name} is missing{if_missing}")
        elif times[row] < 0:
            found.add(row, f"{name} is negative", f"{name} {cell!r} is negative")
        elif _DATE.fullmatch(str(cell).strip()):
            text = f"{name} {cell!r} is a date"
            found.add(
                row,
                f"{name} is a date",
                f"{text}; give the time from diagnosis to event or last visit, such as 12.5 months",
            )
        else:
            text = f"{name} {cell!r} is not a number"
            comma = (
                " (decimal point, not comma; no separator of thousands)" if "," in str(cell) else ""
            )
            found.add(row, f"{name} is not a number{comma}", text + comma)
    return times


def _entries(cells: pd.Series, times: pd.Series, time: str, found: Problems) -> pd.Series:
    """When patients came under observation: 0, or a time before the end of their follow-up."""
    missing = "; give 0 for a patient who is followed from the start"
    entries = _times(cells, "entry", found, missing)
    # As they are kept in training: two times may become one in float32.
    late = entries.astype("float32") >= times.astype("float32")
    for row in cells.index[(entries > 0) & late]:
        found.add(
            row,
            f"entry is not before {time}",
            f"entry {entries[row]:g} is not before {time} {times[row]:g}: a patient who was never "
            "under observation does not belong in the cohort",
        )
    return entries


def _events(cells: pd.Series, name: str, found: Problems) -> pd.Series:
    events = cells.map(_number).astype(float)
    for row, cell in cells[~events.isin((0, 1))].items():
        if is_blank(cell):
            found.add(row, f"{name} is missing")
        else:
            text = f"{name} {cell!r} is neither 1 (event) nor 0, nor a word for it"
            found.add(
                row,
                f"{name} {cell!r}",
                f"{text} such as Dead or Alive; say which value is the event: --event-is on the "
                "command line, event_is in Python",
            )
    return events


def _names(table: pd.DataFrame, found: Problems) -> None:
    for column in [c for c in ("slide", "patient", "dataset") if c in table]:
        for row in table.index[table[column].map(is_blank)]:
            found.add(row, f"{column} is missing")
    first: dict = {}
    for row, slide in table["slide"].items():
        if not is_blank(slide) and first.setdefault(slide, row) != row:
            text = f"slide {slide!r} is already in row {first[slide]}"
            found.add(row, f"slide {slide!r}", text)


def _splits(splits: pd.Series, found: Problems) -> None:
    if not splits.any():
        return  # not split yet
    for row, split in splits[~splits.isin(SPLITS)].items():
        text = f"split {split!r} is none of {', '.join(SPLITS)}" if split else "split is missing"
        found.add(row, text)


def _files(slides: pd.Series, folder: Path, found: Problems) -> None:
    named = {row: str(slide) for row, slide in slides.items() if not is_blank(slide)}
    there = find_files(list(dict.fromkeys(named.values())), folder)
    for row, slide in named.items():
        if slide not in there:
            text = f"there is no file {slide!r} in {folder} or its sub-folders"
            found.add(row, "there is no file", text)


def _patients(patients, times, events, entries, splits, found: Problems) -> None:
    """One patient: one split, one follow-up."""
    first: dict = {}
    for row, patient in patients.items():
        before = first.setdefault(patient, row)
        if before == row or is_blank(patient):
            continue
        if splits[row] != splits[before]:
            found.add(
                row,
                f"patient {patient!r} is in two splits",
                f"patient {patient!r} is in split {splits[row]!r} here and in "
                f"{splits[before]!r} in row {before}",
            )
        here, there = ((times[r], events[r]) for r in (row, before))
        if here != there and not np.isnan([*here, *there]).any():
            found.add(
                row,
                f"patient {patient!r} has two follow-ups",
                f"patient {patient!r} has time {here[0]:g}, event {here[1]:g} here and time "
                f"{there[0]:g}, event {there[1]:g} in row {before}",
            )
        if entries[row] != entries[before] and not np.isnan(entries[[row, before]]).any():
            found.add(
                row,
                f"patient {patient!r} has two entries",
                f"patient {patient!r} has entry {entries[row]:g} here and {entries[before]:g} in "
                f"row {before}",
            )
