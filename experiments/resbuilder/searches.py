"""Search in a folder of the runs, or resume what an interrupted job has left there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resbuilder import SearchConfig


def begun(config: SearchConfig, folder: Path) -> bool:
    """Return whether a folder has a search with these settings; make its parent otherwise.

    Raises:
        ValueError: If the folder has a search with other settings.
    """
    from resbuilder import SearchConfig
    from resbuilder.run import read_config

    if not (folder / "config.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        return False
    found = SearchConfig.from_mapping(read_config(folder, "search"))
    # A race records the decay of its averages, which follows from the number of images.
    if _decisive(replace(found, ema=config.ema)) != _decisive(config):
        raise ValueError(
            f"{folder} is a search with other settings: remove it, or choose another folder "
            "with --out"
        )
    return True


def _decisive(config: SearchConfig) -> SearchConfig:
    """Return only the settings that affect the result: not the place of the data or the devices."""
    return replace(config, data_dir=None, strategy="one_device")
