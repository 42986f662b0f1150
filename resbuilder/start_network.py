"""The networks from which a training or a search can start."""

from __future__ import annotations

from pathlib import Path

from resbuilder.architecture import Architecture, minimal_architecture, resnet_architecture
from resbuilder.config import STARTS, TrainConfig
from resbuilder.datasets import Dataset


def start_architecture(config: TrainConfig, dataset: Dataset) -> Architecture:
    """Return the start network that a configuration names, for the images and classes of a dataset.

    Raises:
        ValueError: If the start network is unknown, its file cannot be read, it was made for other
            images or classes, or a setting does not apply to it.
    """
    check_start(config.start)
    path = architecture_file(config.start)
    _refuse_unused(config)
    shape, classes, order = dataset.input_shape, dataset.classes, config.block_order
    first = config.width or default_width(config.start)
    if config.start == "rb-0net":
        return minimal_architecture(shape, classes, first, config.stages, order)
    if config.start == "rb-r18":
        widths = (first, 2 * first, 4 * first, 8 * first)
        return resnet_architecture(shape, classes, widths, stem=config.stem, block_order=order)
    if config.start == "resnet-20":
        tripled = (first, 2 * first, 4 * first)
        return resnet_architecture(shape, classes, tripled, (3, 3, 3), "small", order)
    architecture = read_architecture(path)
    if (architecture.input_shape, architecture.classes) != (shape, classes):
        raise ValueError(
            f"{path} is a network for images of shape {architecture.input_shape} and "
            f"{architecture.classes} classes, but {dataset.name} has images of shape {shape} and "
            f"{classes} classes"
        )
    if architecture.block_order != order:
        raise ValueError(
            f"the blocks of {path} have the order {architecture.block_order!r}, but block_order is "
            f"{order!r}; give block_order {architecture.block_order!r}"
        )
    # Its blocks are renamed, because this search may give the same names to new blocks.
    return architecture.with_plain_names()


def check_start(start: str) -> None:
    """Raise ValueError if a start is neither a known name nor looks like a file or run folder."""
    if start not in STARTS and architecture_file(start).suffix != ".json":
        raise ValueError(
            f"unknown start network {start!r}; give one of {', '.join(STARTS)}, a run folder, or "
            "the .json file of an architecture"
        )


def architecture_file(start: str) -> Path:
    """Return the file of an architecture: the one given, or that of a run folder."""
    path = Path(start)
    return path / "architecture.json" if path.is_dir() else path


def default_width(start: str) -> int:
    """Return the default number of channels of a start network's first convolution."""
    return 16 if start == "resnet-20" else 64


def _refuse_unused(config: TrainConfig) -> None:
    """Raise ValueError if a setting is given that would have no effect on this start network."""
    unused = {
        "width": config.width is not None and config.start not in STARTS,
        "stages": config.stages is not None and config.start != "rb-0net",
        "stem": config.stem != "imagenet" and config.start != "rb-r18",
    }
    for name, given in unused.items():
        if given:
            raise ValueError(f"{name} has no effect on the start {config.start!r}; leave it out")


def read_architecture(path: Path) -> Architecture:
    """Read an architecture from a JSON file.

    Raises:
        ValueError: If the file cannot be read or does not describe an architecture.
    """
    if path.parent.is_dir() and not path.exists() and (path.parent / "config.json").exists():
        raise ValueError(
            f"the run {path.parent} is not finished, so it has no {path.name} yet; resume it first"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the architecture {path}: {error}") from None
    try:
        return Architecture.from_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
