"""Options from configuration classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from resbuilder.common.settings_file import read_settings
from resbuilder.config import Config, TrainConfig, setting_types

Command = TypeVar("Command", bound=Callable)


def settings(config: type[TrainConfig]) -> Callable[[Command], Command]:
    """Options for every field of a configuration class of :mod:`resbuilder.config`."""
    types = setting_types(config)

    def decorate(command: Command) -> Command:
        for f in reversed(fields(config)):
            command = _option(f, types[f.name].kind)(command)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML or JSON file of settings, named as these options; options win.",
        )(command)

    return decorate


def _option(f: Field, kind: type) -> Callable[[Command], Command]:
    metadata = f.metadata
    flag, text = f.name.replace("_", "-"), metadata["help"]
    if metadata["symbol"]:
        text = f"{metadata['symbol']}: {text}"
    if f.default is not MISSING and f.default is not None:
        shown = ("on" if f.default else "off") if kind is bool else f"{f.default}"
        text += f"  [{shown}]"
    if kind is bool:
        return click.option(f"--{flag}/--no-{flag}", f.name, default=None, help=text)
    choices = metadata["choices"]
    accepted = click.Choice(choices) if choices else kind
    return click.option(f"--{flag}", f.name, type=accepted, default=None, help=text)


def configuration(kind: type[Config], config_file: Path | None, given: Mapping[str, Any]) -> Config:
    """The configuration that a file and the options beside it describe."""
    settings = read_settings(config_file) if config_file else {}
    settings |= {key: value for key, value in given.items() if value is not None}
    if "dataset" not in settings:
        raise ValueError("which images? give --dataset (see `resbuilder datasets`)")
    return kind.from_mapping(settings)
