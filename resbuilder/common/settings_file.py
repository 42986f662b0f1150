"""Settings of a command from a TOML or JSON file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from resbuilder.common.files import parse_json

# The types of value in a file for each option type of click; for all other types it is text.
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    click.types.BoolParamType: ((bool,), "true or false"),
    click.types.IntParamType: ((int,), "a whole number"),
    click.types.FloatParamType: ((int, float), "a number"),
}


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML or JSON file.

    Returns:
        The settings by name, with ``-`` in names replaced by ``_``.

    Raises:
        ValueError: If the file cannot be read or is not a table of settings.
    """
    path = Path(path)
    parsers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": parse_json}
    parse = parsers.get(path.suffix)
    if parse is None:
        raise ValueError(f"the name of a configuration file must end in .toml or .json, got {path}")
    try:
        settings = parse(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"the configuration {path} is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the configuration {path}: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"the configuration {path} must be a table of settings")
    named: dict[str, Any] = {}
    for key, value in settings.items():
        if (name := key.replace("-", "_")) in named:
            raise ValueError(f"the configuration {path} has {name} twice, with - and with _")
        named[name] = value
    return named


def config_option(*without: str) -> Callable[[Callable], Callable]:
    """Return a decorator that gives a command ``--config FILE``; options override the file.

    The file names settings like the command's options. A value must have the option's type: a
    number in quotation marks is an error, and so is ``true`` for a number.

    Args:
        without: Names of options that the file must not contain, such as the output.
    """

    def become_defaults(context: click.Context, _: click.Parameter, path: Path | None) -> None:
        if path is not None:
            _become_defaults(context, path, without)

    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=become_defaults,
        help="TOML or JSON file with settings, named like these options, which override it",
    )


def _become_defaults(context: click.Context, path: Path, without: tuple[str, ...]) -> None:
    """Make the settings of a file the defaults of the running command."""
    # A setting has the name of its option, which may differ from that of the function's argument.
    options = {
        max(option.opts, key=len).lstrip("-").replace("-", "_"): option
        for option in context.command.params
        if isinstance(option, click.Option)
    }
    known = {name: o for name, o in options.items() if name not in ("config", "help", *without)}
    settings = read_settings(path)
    if unknown := sorted(set(settings) - set(known)):
        near = [n for name in unknown for n in difflib.get_close_matches(name, known, 2)]
        raise click.UsageError(
            f"{path}: unknown settings: {', '.join(name[:60] for name in unknown)}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    for name, value in settings.items():
        check_type(path, name, value, known[name])
    context.default_map = {known[name].name: value for name, value in settings.items()}


def check_type(path: Path, name: str, value: Any, option: click.Option) -> None:
    """Check that a value in a file has the type of an option.

    Raises:
        click.UsageError: If it has not.
    """
    found = (entry for kind, entry in _KINDS.items() if isinstance(option.type, kind))
    kinds, wording = next(found, ((str,), "text"))
    values = [value]
    if option.multiple:
        wording = f"a list, each entry {wording}"
        values = value if isinstance(value, list) else [None]
    for each in values:
        if not isinstance(each, kinds) or (isinstance(each, bool) and bool not in kinds):
            raise click.UsageError(f"{path}: {name} must be {wording}, got {value!r}")
