"""Hand-made networks that a race is compared with."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from resbuilder.architecture import Architecture
from resbuilder.config import CONTENDERS, SearchConfig, TrainConfig
from resbuilder.datasets import Dataset
from resbuilder.start_network import architecture_file, start_architecture
from resbuilder.surgery import scale_to_budget


def contenders(config: SearchConfig, dataset: Dataset) -> dict[str, Architecture]:
    """Return the contenders that a configuration names, by name, each scaled to fill ζ.

    Raises:
        ValueError: If a contender is unknown, its file cannot be read, it was made for other images
            or classes, or it does not fit the budget.
    """
    found: dict[str, Architecture] = {}
    for name in config.contender_names:
        path = architecture_file(name)
        if name not in CONTENDERS and path.suffix != ".json":
            raise ValueError(
                f"unknown contender {name!r}; give {', '.join(CONTENDERS)}, a run folder, or the "
                ".json file of an architecture"
            )
        of_run = path.name == "architecture.json" and path.parent.name
        label = name if name in CONTENDERS else of_run or path.stem
        if label in found:
            raise ValueError(f"contenders has {label!r} twice; leave one out or rename it")
        start = training_config(config, **CONTENDERS.get(name, {"start": name}))
        network = start_architecture(start, dataset)
        try:
            found[label] = scale_to_budget(network, int(config.flops))
        except ValueError as error:
            raise ValueError(f"contender {label}: {error}") from None
    return found


def training_config(config: SearchConfig, **changes: Any) -> TrainConfig:
    """Return the settings of one training of a race: those of the search, with changes."""
    shared = config.to_json()
    names = {f.name for f in fields(TrainConfig)}
    settings = {name: value for name, value in shared.items() if name in names}
    return TrainConfig(**settings | changes)
