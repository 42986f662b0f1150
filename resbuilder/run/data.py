"""Read what a run recorded about its data in ``data.json``."""

from __future__ import annotations

from pathlib import Path

from resbuilder.common.files import parse_json
from resbuilder.datasets import DataRecord, is_own_folder
from resbuilder.run.folder import DATA, read_config


def read_data(path: str | Path, required: bool = True) -> DataRecord | None:
    """Return what a run recorded about its data, for :meth:`resbuilder.training.TrainingData.load`.

    Args:
        path: The run folder.
        required: Whether a missing record of a folder of images is an error, because the parts
            of these data are needed.

    Returns:
        The record; None if there is none, as in runs of earlier versions.

    Raises:
        ValueError: If it cannot be read, or is missing although the run used a folder of images.
    """
    file = Path(path) / DATA
    settings = read_config(path)
    if not file.exists():
        if required and is_own_folder(settings.get("dataset", ""), settings.get("data_dir")):
            raise ValueError(
                f"{path} does not record which images were for training, validation and testing: "
                f"it lacks {DATA}, which earlier versions did not write. They divided a folder by "
                "the order of file names, so training images could now be taken for test images. "
                "Start the search again, or evaluate the model file on a separate folder"
            )
        return None
    try:
        return DataRecord.from_json(parse_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
