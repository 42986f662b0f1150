"""Check that a run continues with the data and the settings with which it began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resbuilder.run.events import DataEvent
from resbuilder.run.folder import CONFIG, Run, settings_hash


def check_beginning(run: Run, dataset: str, fingerprint: Mapping[str, Any]) -> None:
    """Record data and settings of a new run, or compare them with the record of a resumed one.

    Args:
        run: The run.
        dataset: Name of the data, for the error message.
        fingerprint: What identifies the data; see
            :meth:`resbuilder.training.TrainingData.fingerprint`.

    Raises:
        ValueError: If data or settings differ.
    """
    settings = settings_hash(run.path)
    now = DataEvent.from_json({**fingerprint, "settings": settings})
    began = run.journal.step(DataEvent, "data", lambda: now)
    if began.settings not in (None, settings):
        raise ValueError(
            f"the settings in {run.path / CONFIG} are not those with which the run began; restore "
            "the file, or start a new run"
        )
    check_same_data(began, fingerprint, dataset, run.path)


def check_same_data(
    began: DataEvent, fingerprint: Mapping[str, Any], dataset: str, run: Path
) -> None:
    """Check that data are those with which a run began.

    Args:
        began: The event in the run's journal.
        fingerprint: What identifies the data now.
        dataset: Their name, for the error message.
        run: The run folder, for the error message.

    Raises:
        ValueError: If they are not.
    """
    same_images = began.images in (None, fingerprint["images"])
    if began.sha256 != fingerprint["sha256"] or not same_images:
        raise ValueError(
            f"the images of {dataset} are not those with which the run in {run} began; restore the "
            "original data"
        )
