"""The cohort: which slide belongs to which patient, and the patients' follow-up."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from resbuilder.common.files import atomically
from resbuilder.common.words import count, some
from survival.cohort.checks import SPLITS, ManifestError, find_problems, is_blank, is_missing
from survival.cohort.plausible import same_unit, warn_of_dates, warn_of_units
from survival.cohort.spelling import (
    check_datasets,
    decimal_points,
    plain_cells,
    standard_columns,
    standard_events,
)
from survival.cohort.tables import read_table
from survival.names import OF_SLIDES, look_alikes
from survival.targets import make_targets

# Columns that are not text.
KINDS = {"time": float, "event": bool, "entry": float}


@dataclass(frozen=True, eq=False, init=False)
class Cohort:
    """Slides with the follow-up of their patients, one row per slide; checked and immutable.

    A cohort's CSV file, the manifest, has the columns ``slide`` (the file's path), ``patient``, a
    time and an event. Optional columns are ``entry`` (the time at which observation of the patient
    began), ``dataset`` (the scanner or hospital), ``split`` (``train``, ``validation`` or
    ``test``), ``time_unit`` (the same in all rows, such as ``months``), ``downsample``, ``mpp`` and
    ``slide_mpp`` for the preprocessing, and pairs ``NAME_time``, ``NAME_event`` for further
    endpoints. Other columns, such as age or stage, are kept unchanged.

    Args:
        slide: Names of the slides, without duplicates, shape (n,).
        patient: Patient of each slide, shape (n,).
        time: Follow-up ≥ 0 until event or censoring, shape (n,); in months in the thesis.
        event: Whether the event was observed (True) or the patient was censored, shape (n,).
        dataset: Dataset of each slide, shape (n,); by default ``"all"`` for all of them.
        split: Split of each slide, shape (n,); by default ``""``, not yet split.
        further: Further columns by name, as text, shape (n,) each.
        time_column: Name of the column for ``time`` in a file.
        event_column: Name of the column for ``event`` in a file.
        entry: Time at which observation of the patient began (left truncation), shape (n,), in
            the unit of ``time`` and less than it. By default 0: observed from the start.

    Raises:
        ManifestError: A row is invalid. All problems are listed; rows are numbered as in the file
            that :meth:`write` would write.

    Example:
        >>> cohort = Cohort.read("cohort.csv")
        >>> train = cohort.part("train")
        >>> train.y_true()[0]  # time and event of the first slide
        array([1., 1.])
    """

    slide: np.ndarray
    patient: np.ndarray
    time: np.ndarray
    event: np.ndarray
    dataset: np.ndarray
    split: np.ndarray
    further: Mapping[str, np.ndarray]
    time_column: str
    event_column: str
    entry: np.ndarray

    def __init__(
        self,
        slide: ArrayLike,
        patient: ArrayLike,
        time: ArrayLike,
        event: ArrayLike,
        dataset: ArrayLike | None = None,
        split: ArrayLike | None = None,
        further: Mapping[str, ArrayLike] = MappingProxyType({}),
        time_column: str = "time",
        event_column: str = "event",
        entry: ArrayLike | None = None,
    ):
        n = np.size(slide)
        columns: dict[str, Any] = {
            "slide": slide,
            "patient": patient,
            "time": time,
            "event": event,
            "dataset": ["all"] * n if dataset is None else dataset,
            "split": [""] * n if split is None else split,
            "entry": np.zeros(n) if entry is None else entry,
        }
        for name, values in (*columns.items(), *further.items()):
            if np.shape(values) != (n,):
                raise ValueError(
                    f"every column must have shape ({n},) as slide has; {name} has shape "
                    f"{np.shape(values)}"
                )
        own = {"slide", "patient", "dataset", "split", "entry", time_column, event_column}
        if taken := sorted(own & further.keys()):
            raise ValueError(
                f"further must not contain {some(taken)}: such values have arguments of their own"
            )
        # Convert before checking: otherwise 1 and "1" would be two patients in the checks.
        columns |= {
            name: [v if is_blank(v) else str(v) for v in values]
            for name, values in columns.items()
            if name not in KINDS
        }
        units = {"time_unit": further["time_unit"]} if "time_unit" in further else {}
        frame = pd.DataFrame(columns | units, index=range(2, n + 2), dtype=object)
        problems = find_problems(frame, need_events=False) if n else []
        if problems:
            raise ManifestError("the cohort", problems)
        columns["event"] = np.array(event, dtype=object).astype(float) == 1
        for name, values in columns.items():
            object.__setattr__(self, name, _frozen(values, KINDS.get(name, str)))
        kept = {name: _frozen(values, str) for name, values in further.items()}
        object.__setattr__(self, "further", MappingProxyType(kept))
        object.__setattr__(self, "time_column", time_column)
        object.__setattr__(self, "event_column", event_column)

    @classmethod
    def read(
        cls,
        path: str | Path,
        time: str = "time",
        event: str = "event",
        folder: str | Path | None = None,
        need_events: bool = True,
        event_is: str | None = None,
    ) -> Cohort:
        """Read and check a manifest.

        Column names are matched regardless of case. Events may be 1 and 0, true and false, or
        words such as Dead and Alive. In files separated by semicolons or tabs, times may have
        decimal commas. The column ``entry`` applies to every endpoint.

        Args:
            path: The CSV file.
            time: Column with the follow-up times.
            event: Column with the events.
            folder: If given, every slide must be a file in this folder or its sub-folders.
            need_events: Whether every split must contain an event.
            event_is: The value of the event column that means an event; every other value then
                means censored.

        Returns:
            The cohort.

        Raises:
            ManifestError: The manifest is invalid. All problems are listed with their rows; the
                header is row 1.
            ValueError: The file is not a table.

        Warns:
            UserWarning: Names of patients or slides look alike; an unknown column's name is close
                to a known one; times look like dates, or like those of two units.
        """
        return cls.from_frame(
            read_table(path), time, event, folder, str(path), need_events, event_is
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        time: str = "time",
        event: str = "event",
        folder: str | Path | None = None,
        source: str = "the cohort",
        need_events: bool = True,
        event_is: str | None = None,
    ) -> Cohort:
        """Build a cohort from a pandas frame with a manifest's columns, one row per slide.

        Args:
            frame: The rows. The index holds the row numbers that errors report; if it is not
                unique, rows are numbered from 0.
            time: Column with the follow-up times.
            event: Column with the events.
            folder: If given, every slide must be a file in this folder or its sub-folders.
            source: Name of the frame in errors.
            need_events: Whether every split must contain an event.
            event_is: See :meth:`read`.

        Returns:
            The cohort.

        Raises:
            ManifestError: The frame is invalid. All problems are listed.

        Warns:
            UserWarning: See :meth:`read`.
        """
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique()
            raise ValueError(f"{source} has more than one column named {some(map(repr, twice))}")
        if not frame.index.is_unique:  # Frames that were concatenated.
            frame = frame.reset_index(drop=True)
        frame = plain_cells(frame)
        frame = standard_columns(frame, time, event)
        for name in (n for n in ("split", "time_unit", *OF_SLIDES) if n in frame):
            coded = frame[name].map(lambda cell: isinstance(cell, str) and is_missing(cell))
            frame = frame.assign(**{name: frame[name].mask(coded.astype(bool), "")})
        # Also the times of other endpoints, which a cohort keeps for later.
        times = {"time", *(name for name in frame.columns if str(name).endswith("_time"))}
        frame = decimal_points(frame, {time, "entry", *times, *OF_SLIDES})
        if event in frame and event != time:
            frame = frame.assign(**{event: standard_events(frame[event], event_is)})
        problems = find_problems(frame, time, event, folder, need_events)
        if problems:
            raise ManifestError(source, problems)
        _warn_of_look_alikes(frame)
        warn_of_dates(frame[time], time)
        if "dataset" in frame:
            groups = frame[time].astype(float).groupby(frame["dataset"].astype(str))
            warn_of_units({f"dataset {name!r}": group for name, group in groups})
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        own = {name: columns.pop(name) for name in ("slide", "patient")}
        own |= {name: columns.pop(name, None) for name in ("dataset", "split")}
        own["time"] = columns.pop(time).astype(float)
        own["event"] = columns.pop(event).astype(float) == 1
        if "entry" in columns:
            own["entry"] = columns.pop("entry").astype(float)
        return cls(**own, further=columns, time_column=time, event_column=event)

    @property
    def time_unit(self) -> str | None:
        """Unit of the times, such as ``"months"``; None if the manifest does not state it."""
        units = self.further.get("time_unit")
        return str(units[0]) or None if units is not None and len(units) else None

    def in_unit(self, time_unit: str | None) -> Cohort:
        """Return the cohort with a stated unit of its times. The times do not change.

        Args:
            time_unit: The unit, such as ``"months"``; None keeps the manifest's.

        Raises:
            ValueError: The manifest states a different unit.
        """
        if time_unit is None or same_unit(time_unit, self.time_unit):
            return self
        if self.time_unit is not None:
            raise ValueError(
                f"the manifest states that its times are in {self.time_unit}, not in {time_unit}"
            )
        units = _frozen([time_unit] * len(self), str)
        return replace(self, further=dict(self.further) | {"time_unit": units})

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the rows as a pandas frame with a manifest's columns."""
        columns = {
            "slide": self.slide,
            "patient": self.patient,
            self.time_column: self.time,
            self.event_column: self.event.astype(int),
        }
        if self.entry.any():
            columns["entry"] = self.entry
        columns["dataset"] = self.dataset
        if self.split.any():
            columns["split"] = self.split
        return pd.DataFrame(columns | dict(self.further))

    def write(self, path: str | Path) -> None:
        """Write the CSV file atomically; :meth:`read` returns an equal cohort."""
        with atomically(Path(path)) as part:
            self.to_frame().to_csv(part, index=False)

    def __len__(self) -> int:
        return len(self.slide)

    def y_true(self, strata: bool = False) -> np.ndarray:
        """Return the targets for the loss and the metrics.

        Args:
            strata: Whether to add the dataset as stratum, numbered in alphabetical order.

        Returns:
            Columns time, event and, with ``strata``, stratum; float64, shape (n, 2) or (n, 3). If
            any patient enters late, the columns are time, event, stratum (0 without ``strata``),
            weight 1 and entry, shape (n, 5).
        """
        stratum = np.unique(self.dataset, return_inverse=True)[1] if strata else None
        # Metrics at a recorded time need it exactly. The loss rounds to float32 by itself.
        return make_targets(self.time, self.event, stratum, self.entry)

    def select(self, rows: np.ndarray) -> Cohort:
        """Return the rows that a boolean mask or an array of positions selects."""
        names = ("slide", "patient", "time", "event", "dataset", "split", "entry")
        columns = {name: getattr(self, name)[rows] for name in names}
        further = {name: values[rows] for name, values in self.further.items()}
        return replace(self, **columns, further=further)

    def part(self, split: str) -> Cohort:
        """Return the rows of one split.

        Raises:
            ValueError: There is no such split, or it has no slides.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        if split not in self.split:
            there = ", ".join(sorted(set(self.split) - {""})) or "none (split the cohort first)"
            raise ValueError(f"the cohort has no slides in split {split!r}; its splits: {there}")
        return self.select(self.split == split)

    def of_dataset(self, *datasets: str) -> Cohort:
        """Return the rows of one dataset, or of several.

        Raises:
            ValueError: There is no such dataset.
        """
        check_datasets(datasets, set(self.dataset), "the cohort")
        return self.select(np.isin(self.dataset.astype(str), datasets))


def _warn_of_look_alikes(frame: pd.DataFrame) -> None:
    for column in ("patient", "slide"):
        if groups := look_alikes(map(str, frame[column])):
            named = some((" and ".join(map(repr, group)) for group in groups), 3)
            warnings.warn(
                f"{count(len(groups), 'group')} of {column} names that look alike but are "
                f"treated as different: {named}; if they are the same, use one spelling",
                stacklevel=4,
            )


def _frozen(values: Any, kind: type) -> np.ndarray:
    if kind is str:
        values, kind = ["" if is_blank(v) else str(v) for v in values], object
    array: np.ndarray = np.array(values, dtype=kind)
    array.setflags(write=False)
    return array
