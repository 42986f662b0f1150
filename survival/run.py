"""The run folder of a training: settings, history, network and predictions."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from resbuilder.common.files import atomically, is_temporary
from survival.cohort.tables import read_table
from survival.targets import entry_fits, make_targets

__all__ = ["Run", "follow_up", "judged"]

SETTINGS, HISTORY, MODEL = "settings.json", "history.csv", "model.keras"
PREDICTIONS, EVALUATIONS = "predictions.csv", "evaluations"
# Types of some settings, and their names in errors.
_KINDS = {
    "images": (str, "text"),
    "versions": (dict, "a table"),
    "datasets": (list, "a list"),
    "kept_epoch": (int, "a whole number"),
}
# Columns of every table of predictions.
COLUMNS = ("slide", "patient", "dataset", "split", "time", "event", "log_hazard", "image")
# How their files begin; with a column of entries if any patient enters late.
HEADERS = (",".join(COLUMNS), ",".join((*COLUMNS[:6], "entry", *COLUMNS[6:])))


class Run:
    """A run folder, as written by ``survival train`` and ``survival evaluate``.

    Args:
        path: The folder.

    Raises:
        ValueError: It is not a run folder, or the training has not finished.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (self.path / SETTINGS).is_file():
            raise ValueError(
                f"{path} is not a run folder of `survival train`: it has no {SETTINGS}"
            )
        missing = [n for n in (MODEL, HISTORY, PREDICTIONS) if not (self.path / n).is_file()]
        if missing:
            raise ValueError(
                f"the training in {path} has not finished ({', '.join(missing)} missing): run the "
                "same `survival train` command again to resume it"
            )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @cached_property
    def settings(self) -> dict:
        """Settings of the training, and the data that it used."""
        return read_settings(self.path)

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch: ``epoch``, ``loss``, ``val_loss``, ``val_cindex``, ``seconds``."""
        return read_history(self.path)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row for each slide of the training's cohort.

        The columns are ``slide``, ``patient``, ``dataset``, ``split``, ``time``, ``event`` (0 or
        1), ``entry`` (only if any patient enters late), ``log_hazard`` (a higher value means a
        higher risk), ``image`` (its file) and ``content`` (a text that is the same for copies of
        one slide, ``""`` if unknown; absent in runs of version 0.1.0).
        """
        return _read(self.path / PREDICTIONS)

    @property
    def evaluations(self) -> dict[str, pd.DataFrame]:
        """Tables like :attr:`predictions` for other cohorts, by the names of the evaluations.

        They also have the names of the columns ``time`` and ``event`` in the manifest, as
        ``time_column`` and ``event_column``, and the scale of each image, ``microns_per_pixel``
        (NaN if unknown).
        """
        files = sorted((self.path / EVALUATIONS).glob("*.csv"))
        return {file.stem: _read(file) for file in files if not is_temporary(file)}

    def model(self) -> keras.Model:
        """Return the network that was kept. Code in its file is never run.

        Raises:
            ValueError: The file is damaged, or contains code.
        """
        try:
            with warnings.catch_warnings():
                # Keras only warns of layers whose weights are missing and would stay random.
                warnings.filterwarnings("error", ".*freshly-initialized weights")
                return keras.saving.load_model(self.path / MODEL, compile=False, safe_mode=True)
        except Exception as error:  # A damaged file can cause any exception in Keras.
            reason = " ".join(str(error).split())[:200]
            if "arbitrary code" in reason:
                reason = "it contains code (a Lambda layer), which is never run"
            raise ValueError(f"{self.path / MODEL} cannot be loaded: {reason}") from None


def follow_up(predictions: pd.DataFrame) -> np.ndarray:
    """Return the targets of each row: time and event, (n, 2), or with entries, (n, 5)."""
    entry = predictions["entry"].fillna(0) if "entry" in predictions else None
    return make_targets(predictions["time"], predictions["event"], entry=entry)


def judged(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows on which a network is evaluated: the split ``test``, or all without one."""
    test = predictions[predictions["split"] == "test"]
    return predictions if test.empty else test


def known_patients(predictions: pd.DataFrame, rows: pd.DataFrame) -> set[str]:
    """Return patients whose name is also in the network's training or validation split.

    Args:
        predictions: Predictions for the network's own cohort.
        rows: Predictions for any cohort; its patients are returned.
    """
    learned = predictions[predictions["split"].isin(["train", "validation"])]
    return set(learned["patient"]) & set(rows["patient"])


def read_settings(folder: Path) -> dict:
    """Return the settings in a run folder.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / SETTINGS} is broken: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / SETTINGS} is broken: it is not a table of settings")
    for name, (kind, wording) in _KINDS.items():
        value = settings.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(
                f"{folder / SETTINGS} is broken: {name} must be {wording}, not {repr(value)[:60]}"
            )
    return settings


def read_history(folder: Path) -> pd.DataFrame:
    """Return the history in a run folder, one row per epoch.

    Raises:
        ValueError: The file is damaged.
    """
    with _named(folder / HISTORY):
        table = _table(folder / HISTORY, ("epoch", "loss"))
        table = table.map(lambda cell: float(cell or "nan"))
        if table["epoch"].tolist() != list(range(1, len(table) + 1)):
            raise ValueError("its epochs are not 1, 2, 3, ...")
        return table.astype({"epoch": int})


def write_settings(folder: Path, settings: dict) -> None:
    """Write settings into a run folder atomically."""
    with atomically(folder / SETTINGS) as part:
        part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file atomically; names of slides need not be valid UTF-8."""
    with atomically(path) as part:
        table.to_csv(part, index=False, errors="surrogateescape")


def _read(path: Path) -> pd.DataFrame:
    with _named(path):
        table = _table(path, COLUMNS)
        table = table.astype({"time": float, "event": float, "log_hazard": float})
        if not (np.isfinite(table["time"]) & (table["time"] >= 0)).all():
            raise ValueError("a time is negative or not a finite number")
        if not table["event"].isin((0, 1)).all():
            raise ValueError("an event is neither 0 nor 1")
        if "entry" in table:
            table = table.astype({"entry": float})
            if not entry_fits(table["time"], table["entry"]).all():
                raise ValueError("an entry is neither 0 nor a number before the time")
        if (scale := "microns_per_pixel") in table:
            table[scale] = pd.to_numeric(table[scale])  # "" becomes NaN
        return table.astype({"event": int})


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a table of text that must have these columns and at least one row."""
    table = read_table(path, errors="surrogateescape").reset_index(drop=True)
    if missing := [name for name in columns if name not in table.columns]:
        raise ValueError(f"it has no column {', '.join(missing)}")
    if table.empty:
        raise ValueError("it has no rows")
    return table


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
        raise ValueError(f"{path} is broken: {reason}") from None
