"""The folder of a training: its settings, how it went, the network, and what it predicts."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import keras
import pandas as pd

from survival.files import atomically

SETTINGS, HISTORY, MODEL = "settings.json", "history.csv", "model.keras"
PREDICTIONS, EVALUATIONS = "predictions.csv", "evaluations"
# Of every table of predictions. Text stays text: a patient may be called 007, or NA.
TEXT = ("slide", "patient", "dataset", "split", "image")
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
        return pd.read_csv(self.path / HISTORY)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row for each slide of the training's cohort.

        Columns are ``slide``, ``patient``, ``dataset``, ``split``, ``time``, ``event`` (0 or 1),
        ``log_hazard`` (higher is more risk) and ``image`` (its file).
        """
        return _read(self.path / PREDICTIONS)

    @property
    def evaluations(self) -> dict[str, pd.DataFrame]:
        """The same for other cohorts, by the names of their manifests."""
        files = sorted((self.path / EVALUATIONS).glob("*.csv"))
        return {file.stem: _read(file) for file in files}

    def model(self) -> keras.Model:
        """The network that was kept."""
        try:
            return keras.saving.load_model(self.path / MODEL, compile=False, safe_mode=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.path / MODEL} cannot be loaded: {reason}") from None


def judged(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows by which a network is judged: the split ``test``, or all if there is none."""
    test = predictions[predictions["split"] == "test"]
    return predictions if test.empty else test


def read_settings(folder: Path) -> dict:
    """The settings in a training's folder.

    Raises:
        ValueError: The file is broken.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / SETTINGS} is broken: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / SETTINGS} is broken: it holds no table of settings")
    return settings


def write_settings(folder: Path, settings: dict) -> None:
    """Writes them, whole or not at all."""
    with atomically(folder / SETTINGS) as part:
        part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a CSV file, whole or not at all."""
    with atomically(path) as part:
        table.to_csv(part, index=False)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False)
        table = table.astype({"time": float, "event": int, "log_hazard": float})
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is broken: {error}") from None
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{path} is broken: it has no column {', '.join(missing)}")
    return table
