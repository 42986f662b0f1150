"""Options from configuration classes, and errors as one line with exit status 2."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from dataclasses import MISSING, fields
from pathlib import Path

import click

from resbuilder.config import read_settings

OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError", "XlaRuntimeError", "JaxRuntimeError")


class Commands(click.Group):
    """Turns what the library says about bad input into one line and exit status 2."""

    def list_commands(self, ctx):
        """The commands in the order in which one needs them."""
        return list(self.commands)

    def main(self, *args, **kwargs):
        """Say in one line what is wrong with the arguments, then exit with status 2."""
        try:
            kwargs["standalone_mode"] = False
            sys.exit(super().main(*args, **kwargs) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except click.ClickException as error:
            click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
            sys.exit(2)
        except click.Abort:
            sys.exit(130)

    def invoke(self, ctx):
        """Run a command; turn bad input into one line."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise click.ClickException(
                    f"the disk is full ({error.filename or 'while writing'}); free some space; a "
                    "search then goes on with `resbuilder resume RUN`"
                ) from None
            if isinstance(error, BrokenPipeError):
                raise
            where = f" in {Path(error.filename).absolute().parent}" if error.filename else ""
            raise click.ClickException(f"{(error.strerror or str(error)).lower()}{where}") from None
        except KeyboardInterrupt:
            click.echo("interrupted; a search goes on with `resbuilder resume RUN`", err=True)
            raise click.Abort from None
        except Exception as error:
            # What the backends raise when memory runs out has no class in common.
            if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY:
                raise click.ClickException(
                    "out of memory; take a smaller batch size or width"
                ) from None
            raise


def load_backend() -> None:
    """Import the backend without its start-up notes."""
    with _quiet_start():
        import keras  # noqa: F401


@contextlib.contextmanager
def _quiet_start():
    """Hold back what is written to file descriptor 2, unless it ends in an exception.

    TensorFlow logs there while it is being imported, before its own settings take effect.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


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
