"""The folder of a training: its settings, how it went, the network, and what it predicts."""

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

from resbuilder.common.files import atomically
from survival.cohort.tables import read_table
from survival.targets import make_targets

SETTINGS, HISTORY, MODEL = "settings.json", "history.csv", "model.keras"
PREDICTIONS, EVALUATIONS = "predictions.csv", "evaluations"
# Of some settings, for whoever reads them: what they are, and what that is called.
_KINDS = {
    "images": (str, "text"),
    "versions": (dict, "a table"),
    "datasets": (list, "a list"),
    "kept_epoch": (int, "a whole number"),
}
# Of every table of predictions.
COLUMNS = ("slide", "patient", "dataset", "split", "time", "event", "log_hazard", "image")


class Run:
    """What ``survival train`` and ``survival evaluate`` left in a folder.

    Args:
        path: The folder.

    Raises:
        ValueError: It is no folder of a training, or the training has not ended.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (self.path / SETTINGS).is_file():
            raise ValueError(f"{path} is no folder of a training: it has no {SETTINGS}")
        missing = [n for n in (MODEL, HISTORY, PREDICTIONS) if not (self.path / n).is_file()]
        if missing:
            raise ValueError(
                f"the training in {path} has not ended ({', '.join(missing)} missing): give the "
                "same `survival train` command again"
            )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @cached_property
    def settings(self) -> dict:
        """How the network was trained, and on what."""
        return read_settings(self.path)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per epoch: ``epoch``, ``loss``, ``val_loss``, ``val_cindex``, ``seconds``."""
        return read_history(self.path)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row for each slide of the training's cohort.

        Columns are ``slide``, ``patient``, ``dataset``, ``split``, ``time``, ``event`` (0 or 1),
        ``entry`` (only where somebody enters late), ``log_hazard`` (higher is more risk), ``image``
        (its file) and ``content`` (a text that is the same for copies of one slide, ``""`` where it
        is not known; runs of version 0.1.0 lack the column).
        """
        return _read(self.path / PREDICTIONS)

    @property
    def evaluations(self) -> dict[str, pd.DataFrame]:
        """The same for other cohorts, by the names of their manifests."""
        files = sorted((self.path / EVALUATIONS).glob("*.csv"))
        return {file.stem: _read(file) for file in files}

    def model(self) -> keras.Model:
        """The network that was kept; code in its file is never run.

        Raises:
            ValueError: The file is broken, or holds code.
        """
        try:
            with warnings.catch_warnings():
                # Of layers whose weights are not there, which would stay random.
                warnings.filterwarnings("error", ".*freshly-initialized weights")
                return keras.saving.load_model(self.path / MODEL, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever the broken part of the file leads to.
            reason = " ".join(str(error).split())[:200]
            if "arbitrary code" in reason:
                reason = "it holds code of its own (a Lambda layer), which is never run"
            raise ValueError(f"{self.path / MODEL} cannot be loaded: {reason}") from None


def follow_up(predictions: pd.DataFrame) -> np.ndarray:
    """Time and event of each row, shape (n, 2); with entries as metrics take them, shape (n, 5)."""
    entry = predictions["entry"].fillna(0) if "entry" in predictions else None
    return make_targets(predictions["time"], predictions["event"], entry=entry)


def judged(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows by which a network is judged: the split ``test``, or all if there is none."""
    test = predictions[predictions["split"] == "test"]
    return predictions if test.empty else test


def known_patients(predictions: pd.DataFrame, rows: pd.DataFrame) -> set[str]:
    """Patients of ``rows`` who have the name of one whom a network was trained or chosen on.

    Args:
        predictions: Of the network's own cohort.
        rows: Of any cohort.
    """
    learnt = predictions[predictions["split"].isin(["train", "validation"])]
    return set(learnt["patient"]) & set(rows["patient"])


def read_settings(folder: Path) -> dict:
    """The settings in a training's folder.

    Raises:
        ValueError: The file is broken.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / SETTINGS} is broken: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / SETTINGS} is broken: it holds no table of settings")
    for name, (kind, wording) in _KINDS.items():
        value = settings.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(
                f"{folder / SETTINGS} is broken: {name} must be {wording}, not {repr(value)[:60]}"
            )
    return settings


def read_history(folder: Path) -> pd.DataFrame:
    """A row per epoch, with its numbers, in a training's folder.

    Raises:
        ValueError: The file is broken.
    """
    with _named(folder / HISTORY):
        table = _table(folder / HISTORY, ("epoch", "loss"))
        table = table.map(lambda cell: float(cell or "nan"))
        if table["epoch"].tolist() != list(range(1, len(table) + 1)):
            raise ValueError("its epochs are not 1, 2, 3, ...")
        return table.astype({"epoch": int})


def write_settings(folder: Path, settings: dict) -> None:
    """Writes them, whole or not at all."""
    with atomically(folder / SETTINGS) as part:
        part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a CSV file, whole or not at all."""
    with atomically(path) as part:
        table.to_csv(part, index=False)


def _read(path: Path) -> pd.DataFrame:
    with _named(path):
        table = _table(path, COLUMNS)
        table = table.astype({"time": float, "event": float, "log_hazard": float})
        if not (np.isfinite(table["time"]) & (table["time"] >= 0)).all():
            raise ValueError("a time is negative or no finite number")
        if not table["event"].isin((0, 1)).all():
            raise ValueError("an event is neither 0 nor 1")
        if "entry" in table:
            table = table.astype({"entry": float})
            entry = table["entry"]
            if not ((entry == 0) | ((entry > 0) & (entry < table["time"]))).all():
                raise ValueError("an entry is neither 0 nor a number before the time")
        return table.astype({"event": int})


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of text that has these columns, and at least one row."""
    table = read_table(path).reset_index(drop=True)
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
