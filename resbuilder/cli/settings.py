"""Command-line options made from the configuration classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from resbuilder.common.settings_file import check_type, read_settings
from resbuilder.common.words import number
from resbuilder.config import Config, TrainConfig, only_method
from resbuilder.config.setting import ByMethod, setting_types

Command = TypeVar("Command", bound=Callable)

data_dir_option = click.option(
    "--data-dir", help="Folder with <dataset>.npz files  [default: $RESBUILDER_DATA]"
)

# The options that --help shows first; the others follow in the order of the fields.
_FIRST = ("dataset", "method", "flops")


def settings(config: type[TrainConfig]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each field of a configuration class."""
    types = setting_types(config)
    has_methods = "method" in types
    ordered = sorted(
        fields(config), key=lambda f: _FIRST.index(f.name) if f.name in _FIRST else len(_FIRST)
    )

    def decorate(command: Command) -> Command:
        for f in reversed(ordered):
            command = _option(f, types[f.name].kind, has_methods)(command)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML or JSON file with settings, named like these options, which override it; "
            "--out, --overwrite and --workers are not settings",
        )(command)

    return decorate


def _option(f: Field, kind: type, has_methods: bool) -> Callable[[Command], Command]:
    """Return the decorator for one field; in a search, it may depend on the method."""
    metadata, method = f.metadata, only_method(f.name) if has_methods else None
    flag, text = f.name.replace("_", "-"), metadata["help"]
    if metadata["symbol"]:
        text += f" ({metadata['symbol']})"
    notes = [f"{method} only"] if method else []
    if (default := _default_text(f, has_methods)) is not None:
        notes.append(f"default: {default}")
    if f.default is MISSING:
        notes.append("required")
    if notes:
        text += f"  [{'; '.join(notes)}]"
    if kind is bool:
        return click.option(f"--{flag}/--no-{flag}", f.name, default=None, help=text)
    choices = metadata["choices"]
    accepted = click.Choice(choices) if choices else kind
    return click.option(f"--{flag}", f.name, type=accepted, default=None, help=text)


def _default_text(f: Field, has_methods: bool) -> str | None:
    """Return the default of a field as ``--help`` shows it; None if there is nothing to show."""
    default = f.default
    if f.metadata["default_text"] is not None:
        return f.metadata["default_text"]
    if isinstance(default, ByMethod) and has_methods:
        race = _value_text(default.race)
        return race if default.thesis is None else f"{_value_text(default.thesis)}; race: {race}"
    if isinstance(default, ByMethod):
        default = default.thesis
    return None if default is MISSING or default is None else _value_text(default)


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return number(value) if isinstance(value, int | float) else str(value)


def merged_settings(
    config_file: Path | None, given: Mapping[str, Any], beyond: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the settings of a file together with the options, which override it.

    Args:
        config_file: The file, if there is one. It may be the ``config.json`` of a run.
        given: Values of the options; None for those not given.
        beyond: Names of options that a file may contain although they are not fields of a
            configuration class; their types are checked here.

    Raises:
        ValueError: If the file cannot be read, or a value of ``beyond`` has the wrong type.
    """
    settings = read_settings(config_file) if config_file else {}
    if {"format", "kind"} <= settings.keys():  # What a run folder has besides its settings.
        command = click.get_current_context().command.name
        if settings["kind"] != command:
            raise ValueError(
                f"{config_file} has the settings of a `resbuilder {settings['kind']}`, not of a "
                f"`resbuilder {command}`: give the file of another run"
            )
        settings = {k: v for k, v in settings.items() if k not in ("format", "kind")}
    for name in settings.keys() & set(beyond):
        assert config_file
        option = next(o for o in click.get_current_context().command.params if o.name == name)
        check_type(config_file, name, settings[name], cast(click.Option, option))
    return settings | {key: value for key, value in given.items() if value is not None}


def configuration(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    """Return the configuration that settings of the command line describe.

    Raises:
        ValueError: If no dataset is given or found, or a setting is invalid.
    """
    from resbuilder.datasets import check_found

    if "dataset" not in settings:
        raise ValueError(
            "no images to train on: give --dataset a name that `resbuilder datasets` lists, or a "
            "folder of images"
        )
    config = kind.from_mapping(settings)
    check_found(config.dataset, config.data_dir)
    return config
