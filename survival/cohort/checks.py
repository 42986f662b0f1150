"""Checks of a cohort manifest, which report all problems at once, with their rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resbuilder.common.words import count, some
from survival.names import COMBINED, OF_SLIDES, find_files
from survival.targets import entry_fits

SPLITS = ("train", "validation", "test")
REQUIRED = ("slide", "patient")
OPTIONAL = ("entry", "dataset", "split", "time_unit", *OF_SLIDES)
# The most further rows that one line lists.
MOST_ROWS = 5
# Codes for a missing value: of R, pandas, spreadsheets, databases and SAS.
MISSING = {"na", "n/a", "nan", "<na>", "#n/a", "null", "none", "-", "--", ".", "?"}
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}.*|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})")
# A date such as 20200512, which would be a number.
_COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0)?")


class Problems:
    """Collect problems of rows and report one line per cause."""

    def __init__(self) -> None:
        self._by_cause: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, row: int, cause: str, text: str | None = None) -> None:
        """Add a problem of a row.

        Args:
            row: The row's number in the file.
            cause: The same text for all rows with the same kind of problem.
            text: What the message says about this row; by default the cause.
        """
        self._by_cause[cause].append((row, text or cause))

    def lines(self) -> list[str]:
        """Return one line per cause, ordered by its first row."""
        lines = []
        for rows in sorted(self._by_cause.values(), key=lambda found: found[0][0]):
            (row, text), others = rows[0], [str(other) for other, _ in rows[1:]]
            if others:
                text += f"; also in row {some(others, MOST_ROWS)}"
            lines.append(f"row {row}: {text}")
        return lines


class ManifestError(ValueError):
    """Raised for a manifest that cannot be used.

    Attributes:
        problems: One line per cause, ordered by row.
    """

    def __init__(self, source: str | Path, problems: list[str]):
        # A cell may hold a very long text.
        self.problems = tuple(p if len(p) <= 500 else f"{p[:500]}..." for p in problems)
        number = count(len(problems), "problem")
        super().__init__(f"{source} has {number}:\n  " + ";\n  ".join(self.problems))


def find_problems(
    table: pd.DataFrame,
    time: str = "time",
    event: str = "event",
    folder: str | Path | None = None,
    need_events: bool = True,
) -> list[str]:
    """Return the problems of a manifest.

    Args:
        table: Strings or numbers. Its index holds the row numbers that problems report.
        time: Column with the follow-up times.
        event: Column with the events, 1 = event, 0 = censored.
        folder: Folder to which the slides' paths are relative. If given, every slide must exist
            there or, if its file name occurs only once, in a sub-folder.
        need_events: Whether every split must contain an event.

    Returns:
        One line per cause; empty if nothing is wrong.

    Raises:
        ValueError: ``folder`` is not a folder.
    """
    required = (*REQUIRED, time, event)
    missing = [c for c in dict.fromkeys(required) if c not in table.columns]
    there = ", ".join(map(repr, map(str, table.columns))) or "none"
    # A column name chosen by the user is more likely wrong than the table: report only that.
    chosen = {"time": time, "event": event}
    mistyped = [(n, c) for n, c in chosen.items() if c != n and c in missing]
    if mistyped:
        return [f"{n}: column {c!r} is missing; the columns are {there}" for n, c in mistyped]
    problems = [f"column {c!r} is missing; the columns are {there}" for c in missing]
    if time == event:
        problems.append(f"time and event are both read from column {time!r}")
    if of_two := _two_endpoints(time, event, table.columns):
        problems.append(of_two)
    taken = [(n, c) for n, c in chosen.items() if c in (*REQUIRED, *OPTIONAL)]
    problems += [f"{n}: column {c!r} has another meaning in a manifest" for n, c in taken]
    if missing or problems:
        return problems
    if table.empty:
        return [*problems, "the table has no rows"]
    found = Problems()
    times = _times(table[time], time, found)
    events = _events(table[event], event, found)
    entries = pd.Series(0.0, table.index)
    if "entry" in table:
        entries = _entries(table["entry"], times, time, found)
    _names(table, found)
    for name in [name for name in OF_SLIDES if name in table]:
        for row, cell in table[name].items():
            if not is_blank(cell) and not as_number(cell) > 0:
                found.add(row, f"{name} is not a number > 0", f"{name} {cell!r} is not above 0")
    splits = table["split"] if "split" in table else pd.Series("", table.index)
    splits = splits.map(lambda cell: "" if is_blank(cell) else str(cell))
    _splits(splits, found)
    _patients(table["patient"], times, events, entries, splits, found)
    if folder is not None:
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        _files(table["slide"], folder, found)
    if "time_unit" in table and len({str(u).casefold() for u in table["time_unit"]}) > 1:
        units = set(table["time_unit"])
        # Not by the column's name, which an error on the command line would turn into a flag.
        listed = ", ".join(sorted(map(str, units)))
        problems.append(f"the unit of time must be the same in all rows, not {listed}")
    problems += found.lines()
    if need_events:
        problems += [
            f"{f'split {split!r}' if split else 'the cohort'} has no event: it can be used neither "
            "for training nor for evaluation"
            for split in dict.fromkeys(splits)
            # An event that is not understood, which is reported above, may be one.
            if (events[splits == split] == 0).all()
        ]
    return problems


def _two_endpoints(time: str, event: str, columns: Any) -> str:
    """Return what is wrong if time and event are those of two endpoints; else an empty text."""
    for chosen, own, partner in ((event, "_event", "_time"), (time, "_time", "_event")):
        other = f"{chosen.removesuffix(own)}{partner}"
        if chosen.endswith(own) and other in columns and other not in (time, event):
            return (
                f"columns {time!r} and {event!r} belong to two endpoints: {chosen!r} goes with "
                f"{other!r}"
            )
    return ""


def as_number(cell: Any) -> float:
    """Return the cell as a number, NaN if it is not one."""
    if isinstance(cell, str) and "_" in cell:
        return math.nan  # Python reads 1_0 as 10, which a user hardly means.
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def is_blank(cell: object) -> bool:
    """Return whether a cell is empty: None, NaN, NA or white space."""
    return cell is None or cell is pd.NA or cell != cell or not str(cell).strip()


def is_missing(cell: object) -> bool:
    """Return whether a cell is blank, or has a code for a missing value such as R's NA."""
    return is_blank(cell) or str(cell).strip().casefold() in MISSING


def _missing(found: Problems, row: int, name: str, cell: object, more: str = "") -> None:
    written = "" if is_blank(cell) else f": {cell!r}"
    found.add(row, f"{name} is missing{more}", f"{name} is missing{written}{more}")


def _times(cells: pd.Series, name: str, found: Problems, if_missing: str = "") -> pd.Series:
    times = cells.map(as_number).astype(float)
    # Dates such as 20200512, as numbers.
    dates = times.between(19_000_101, 20_991_231)
    if dates.any():
        dates &= cells.map(lambda cell: bool(_COMPACT_DATE.fullmatch(str(cell).strip())))
    for row, cell in cells[~((times >= 0) & np.isfinite(times)) | dates].items():
        if is_missing(cell):
            _missing(found, row, name, cell, if_missing)
        elif times[row] < 0:
            found.add(row, f"{name} is negative", f"{name} {cell!r} is negative")
        elif dates[row] or _DATE.fullmatch(str(cell).strip()):
            text = f"{name} {cell!r} is a date"
            found.add(
                row,
                f"{name} is a date",
                f"{text}; give the time from diagnosis to the event or last visit as a number, "
                "such as 12.5 for months",
            )
        else:
            text = f"{name} {cell!r} is not a number"
            comma = (
                " (use a decimal point, not a comma, and no thousands separator)"
                if "," in str(cell)
                else ""
            )
            found.add(row, f"{name} is not a number{comma}", text + comma)
    return times


def _entries(cells: pd.Series, times: pd.Series, time: str, found: Problems) -> pd.Series:
    """Return when patients came under observation: 0, or a time before their follow-up ends."""
    missing = "; give 0 for a patient who is followed from the start"
    entries = _times(cells, "entry", found, missing)
    # Compared as in training: in float32 two close times may become equal.
    fits = entry_fits(times.astype("float32"), entries.astype("float32"))
    for row in cells.index[(entries > 0) & times.notna() & ~fits]:
        found.add(
            row,
            f"entry is not earlier than {time}",
            f"entry {entries[row]:g} is not earlier than {time} {times[row]:g}: remove a patient "
            "who was never under observation",
        )
    return entries


def _events(cells: pd.Series, name: str, found: Problems) -> pd.Series:
    events = cells.map(as_number).astype(float)
    for row, cell in cells[~events.isin((0, 1))].items():
        if is_missing(cell):
            _missing(found, row, name, cell)
        else:
            found.add(
                row,
                f"{name} {cell!r}",
                f"{name} {cell!r} is not 1 (event), 0 (censored) or a word such as Dead or Alive; "
                "state with event_is which value means an event",
            )
    return events


def _names(table: pd.DataFrame, found: Problems) -> None:
    for column in [c for c in ("slide", "patient", "dataset") if c in table]:
        for row, cell in table.loc[table[column].map(is_missing), column].items():
            _missing(found, row, column, cell)
    datasets = table["dataset"].map(str) if "dataset" in table else pd.Series(dtype=object)
    if datasets.nunique() > 1:
        for row, name in datasets[datasets.isin(COMBINED)].items():
            text = f"dataset {name!r} has the name of a result of all datasets together: rename it"
            found.add(row, text)
    first: dict = {}
    for row, slide in table["slide"].items():
        if not is_missing(slide) and first.setdefault(slide, row) != row:
            text = f"slide {slide!r} is already in row {first[slide]}"
            found.add(row, f"slide {slide!r}", text)


def _splits(splits: pd.Series, found: Problems) -> None:
    if not splits.any():
        return  # not split yet
    for row, split in splits[~splits.isin(SPLITS)].items():
        text = f"split {split!r} is not one of {', '.join(SPLITS)}" if split else "split is missing"
        found.add(row, text)


def _files(slides: pd.Series, folder: Path, found: Problems) -> None:
    named = {row: str(slide) for row, slide in slides.items() if not is_missing(slide)}
    there = find_files(list(dict.fromkeys(named.values())), folder)
    for row, slide in named.items():
        if slide not in there:
            text = f"file not found in {folder} or its sub-folders: {slide!r}"
            found.add(row, "file not found", text)


def _patients(patients, times, events, entries, splits, found: Problems) -> None:
    """Add patients with more than one split, follow-up or entry."""
    first: dict = {}
    for row, patient in patients.items():
        before = first.setdefault(patient, row)
        if before == row or is_missing(patient):
            continue
        if splits[row] != splits[before]:
            found.add(
                row,
                f"patient {patient!r} is in two splits",
                f"patient {patient!r} is in split {splits[row]!r} here, but in "
                f"{splits[before]!r} in row {before}",
            )
        here, there = ((times[r], events[r]) for r in (row, before))
        if here != there and not np.isnan([*here, *there]).any():
            found.add(
                row,
                f"patient {patient!r} has two follow-ups",
                f"patient {patient!r} has time {here[0]:g} and event {here[1]:g} here, but time "
                f"{there[0]:g} and event {there[1]:g} in row {before}",
            )
        if entries[row] != entries[before] and not np.isnan(entries[[row, before]]).any():
            found.add(
                row,
                f"patient {patient!r} has two entries",
                f"patient {patient!r} has entry {entries[row]:g} here, but {entries[before]:g} in "
                f"row {before}",
            )
