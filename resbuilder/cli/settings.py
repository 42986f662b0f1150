"""Options from configuration classes."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import click

from resbuilder.config import read_settings


def settings(kind: type):
    """Options for every field of a configuration class of :mod:`resbuilder.config`."""

    def decorate(command):
        for f in reversed(fields(kind)):
            command = _option(f)(command)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML or JSON file of settings, named as these options; options win.",
        )(command)

    return decorate


def _option(f):
    metadata, declared = f.metadata, str(f.type).split(" ")[0]
    flag, text = f.name.replace("_", "-"), metadata["help"]
    if metadata["symbol"]:
        text = f"{metadata['symbol']}: {text}"
    if f.default is not MISSING and f.default is not None:
        shown = ("on" if f.default else "off") if declared == "bool" else f"{f.default}"
        text += f"  [{shown}]"
    if declared == "bool":
        return click.option(f"--{flag}/--no-{flag}", f.name, default=None, help=text)
    kind = {"int": int, "float": float, "str": str}[declared]
    if metadata["choices"]:
        kind = click.Choice(metadata["choices"])
    return click.option(f"--{flag}", f.name, type=kind, default=None, help=text)


def configuration(kind: type, config_file: Path | None, given: dict):
    """The configuration that a file and the options beside it describe."""
    settings = read_settings(config_file) if config_file else {}
    settings |= {key: value for key, value in given.items() if value is not None}
    if "dataset" not in settings:
        raise ValueError("which images? give --dataset (see `resbuilder datasets`)")
    return kind.from_mapping(settings)
