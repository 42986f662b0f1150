"""The command line: ``survival preprocess|cohort|train|evaluate|report``."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings

import click

# Name of a command: the module that defines it under that name. Loaded when it is used.
COMMANDS = {
    "preprocess": "survival.cli.preprocess",
    "cohort": "survival.cli.cohort",
    "train": "survival.cli.train",
    "evaluate": "survival.cli.evaluate",
    "report": "survival.cli.report",
}

OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError", "XlaRuntimeError", "JaxRuntimeError")

# Read by TensorFlow when it is imported, by whatever command that is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Commands(click.Group):
    """Loads a command when it is asked for, and says in one line what is wrong with its input.

    Exit status: 2 for bad input (ValueError), 1 for what the system refuses (OSError).
    """

    def list_commands(self, ctx):
        """The commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx, name):
        """Import a command's module."""
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(COMMANDS[name]), name)

    def main(self, *args, **kwargs):
        """Say in one line what is wrong, then exit."""
        try:
            kwargs["standalone_mode"] = False
            sys.exit(super().main(*args, **kwargs) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except click.ClickException as error:
            click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(130)

    def invoke(self, ctx):
        """Run a command; turn bad input into one line."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            advice = "; free some space, then run the same command again" if full else ""
            text = (error.strerror or str(error)).lower()
            raise click.ClickException(f"{text}{where}{advice}") from None
        except Exception as error:
            # What the backends raise when memory runs out has no class in common.
            if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY:
                raise click.ClickException(
                    "out of memory; take smaller batches or canvases, then run the command again"
                ) from None
            raise
        except KeyboardInterrupt:
            click.echo("interrupted; run the same command again to go on", err=True)
            raise click.Abort from None


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(package_name="resbuilder")
def main() -> None:
    """Risk of patients from whole-slide images: from the slides to the report."""
    warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
