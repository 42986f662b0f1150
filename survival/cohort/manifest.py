"""The cohort: which slide belongs to which patient, and what became of the patient."""

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
from resbuilder.common.words import some
from survival.cohort.checks import SPLITS, ManifestError, find_problems, is_blank
from survival.cohort.spelling import decimal_points, standard_columns, standard_events
from survival.cohort.tables import read_table
from survival.names import look_alikes
from survival.targets import make_targets

# Columns that are not text.
KINDS = {"time": float, "event": bool, "entry": float}


@dataclass(frozen=True, eq=False, init=False)
class Cohort:
    """Slides with the follow-up of their patients, one row per slide; checked and unchangeable.

    As a CSV file it has the columns ``slide`` (the file's path), ``patient``, a time, an event, and
    optionally ``entry`` (the time from which on the patient was under observation), ``dataset``
    (the scanner or hospital), ``split`` (``train``, ``validation``, ``test``), ``time_unit`` (the
    same in all rows, such as ``months``), ``downsample`` or ``mpp`` for the preprocessing, and
    pairs ``NAME_time``, ``NAME_event`` of further endpoints. Further columns, such as age or stage,
    are kept as they are.

    Args:
        slide: Names of the slides, each once, shape (n,).
        patient: Whose slide it is, shape (n,).
        time: Follow-up ≥ 0 until event or censoring, shape (n,); months, as in the thesis.
        event: Whether the event was seen (True) or the patient censored before, shape (n,).
        dataset: Name of the dataset of every slide, shape (n,); by default all in one, ``"all"``.
        split: Split of every slide, shape (n,); by default ``""``, not split yet.
        further: Further columns by name, shape (n,) each, as text.
        time_column: What the column of ``time`` is called in a file.
        event_column: What the column of ``event`` is called in a file.
        entry: Time from which on the patient was under observation (left truncation), before
            ``time``, shape (n,); 0, the default, from the start.

    Raises:
        ManifestError: Something is wrong with a row; all problems are listed, with rows numbered
            as in the file that :meth:`write` would make.

    Example:
        >>> cohort = Cohort.read("cohort.csv")
        >>> train = cohort.part("train")
        >>> train.y_true()[0]  # time and event of the first slide
        array([1., 1.], dtype=float32)
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
        # As it will be kept, or 1 and "1" would be two patients until then.
        columns |= {
            name: [v if is_blank(v) else str(v) for v in values]
            for name, values in columns.items()
            if name not in KINDS
        }
        frame = pd.DataFrame(columns, index=range(2, n + 2), dtype=object)
        problems = find_problems(frame, need_events=False) if n else []
        if problems:
            raise ManifestError("the cohort", problems)
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

        Column names match whatever their case. Events may be 1 and 0, true and false, or words
        such as Dead and Alive. Where cells are separated by semicolons or tabs, times may have
        decimal commas. A column ``entry`` belongs to every endpoint.

        Args:
            path: A CSV file.
            time: Column of the times.
            event: Column of the events.
            folder: If given, every slide must be a file there, see :func:`find_problems`.
            need_events: Whether every split must contain an event.
            event_is: The value of the event column that means an event; every other value then
                means none.

        Returns:
            The cohort.

        Raises:
            ManifestError: All problems with their rows; the header is row 1.
            ValueError: The file is not a table.

        Warns:
            UserWarning: Names of patients or slides that look alike; an unknown column with nearly
                the name of a known one.
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
        """Make a cohort of a pandas frame with a manifest's columns, one row per slide.

        Args:
            frame: The index is the row that a problem is reported at.
            time: Column of the times.
            event: Column of the events.
            folder: If given, every slide must be a file there.
            source: What the error calls the frame.
            need_events: Whether every split must contain an event.
            event_is: See :meth:`read`.

        Returns:
            The cohort.

        Raises:
            ManifestError: All problems.

        Warns:
            UserWarning: See :meth:`read`.
        """
        frame = standard_columns(frame, time, event)
        frame = decimal_points(frame, {time, "entry", "downsample", "mpp"})
        if event in frame and event != time:
            frame = frame.assign(**{event: standard_events(frame[event], event_is)})
        problems = find_problems(frame, time, event, folder, need_events)
        if problems:
            raise ManifestError(source, problems)
        _warn_of_look_alikes(frame)
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
        """The unit of the times, such as ``"months"``; None if the manifest does not say it."""
        units = self.further.get("time_unit")
        return str(units[0]) or None if units is not None and len(units) else None

    def in_unit(self, time_unit: str | None) -> Cohort:
        """Return the cohort with the unit of its times.

        Args:
            time_unit: Such as ``"months"``; None: as the manifest says.

        Raises:
            ValueError: The manifest says another unit.
        """
        if time_unit is None or time_unit == self.time_unit:
            return self
        if self.time_unit is not None:
            raise ValueError(
                f"the manifest says that times are in {self.time_unit} (column time_unit), not in "
                f"{time_unit}"
            )
        units = _frozen([time_unit] * len(self), str)
        return replace(self, further=dict(self.further) | {"time_unit": units})

    def to_frame(self) -> pd.DataFrame:
        """Return the rows with a manifest's columns; a copy."""
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
        """Write the CSV file, whole or not at all; :meth:`read` gives the same cohort."""
        with atomically(Path(path)) as part:
            self.to_frame().to_csv(part, index=False)

    def __len__(self) -> int:
        return len(self.slide)

    def y_true(self, strata: bool = False) -> np.ndarray:
        """Return what the loss and the metrics compare predictions with.

        Args:
            strata: Whether to add the dataset as stratum, numbered in alphabetical order.

        Returns:
            Time, event and, if asked for, stratum in columns; shape (n, 2) or (n, 3). If a patient
            enters late: time, event, stratum (0 unless asked for), weight 1 and entry, shape
            (n, 5). float32.
        """
        stratum = np.unique(self.dataset, return_inverse=True)[1] if strata else None
        return make_targets(self.time, self.event, stratum, self.entry).astype("float32")

    def select(self, rows: np.ndarray) -> Cohort:
        """Return the rows that a boolean mask or an array of positions picks."""
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
            there = ", ".join(sorted(set(self.split) - {""})) or "none: split the cohort first"
            raise ValueError(f"the cohort has no slides in split {split!r}; its splits: {there}")
        return self.select(self.split == split)

    def of_dataset(self, *datasets: str) -> Cohort:
        """Return the rows of one dataset, or of several.

        Raises:
            ValueError: There is no such dataset.
        """
        for dataset in datasets:
            if dataset not in self.dataset:
                there = ", ".join(map(repr, sorted(set(self.dataset))))
                raise ValueError(f"the cohort has no dataset {dataset!r}; its datasets: {there}")
        return self.select(np.isin(self.dataset.astype(str), datasets))


def _warn_of_look_alikes(frame: pd.DataFrame) -> None:
    for column in ("patient", "slide"):
        if groups := look_alikes(map(str, frame[column])):
            named = some((" and ".join(map(repr, group)) for group in groups), 3)
            warnings.warn(
                f"{len(groups)} group(s) of {column} names look alike and are taken as different: "
                f"{named}; if they are the same, write them in one way",
                stacklevel=4,
            )


def _frozen(values: Any, kind: type) -> np.ndarray:
    if kind is str:
        values, kind = ["" if is_blank(v) else str(v) for v in values], object
    array: np.ndarray = np.array(values, dtype=kind)
    array.setflags(write=False)
    return array
