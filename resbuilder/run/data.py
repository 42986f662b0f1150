"""Read what a run recorded about its data in ``data.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from resbuilder.common.files import parse_json
from resbuilder.datasets import DataRecord, is_own_folder
from resbuilder.run.folder import DATA, read_config


def read_data(path: str | Path, other_data: bool = False) -> DataRecord | None:
    """Return what a run recorded about its data, for :meth:`resbuilder.training.TrainingData.load`.

    Args:
        path: The run folder.
        other_data: Whether the record is used for other data than the run's; it then lists no
            files.

    Returns:
        The record; None if there is none, as in runs of earlier versions.

    Raises:
        ValueError: If it cannot be read, or is missing although the run used a folder of images.
    """
    file = Path(path) / DATA
    settings = read_config(path)
    if not file.exists():
        if not other_data and is_own_folder(settings.get("dataset", ""), settings.get("data_dir")):
            raise ValueError(
                f"{path} does not record which images were for training, validation and testing: "
                f"it lacks {DATA}, which earlier versions did not write. They divided a folder by "
                "the order of file names, so training images could now be taken for test images. "
                "Start the search again, or evaluate the model file on a separate folder"
            )
        return None
    try:
        record = DataRecord.from_json(parse_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    return replace(record, files=None) if other_data else record
