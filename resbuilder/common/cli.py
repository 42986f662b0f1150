"""The behavior that all commands share: one-line errors, exit statuses, how to resume.

Exit statuses: 0 success; 1 partial failure (the command has said what failed); 2 bad input, or an
output that cannot be written; 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import math
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

# The backends' exceptions for exhausted memory have no common base class.
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError", "XlaRuntimeError", "JaxRuntimeError")


BACKENDS = ("tensorflow", "jax", "torch")
# The extra that installs a module, for the error about a missing module.
EXTRAS = {
    "sklearn": "search",
    "PIL": "search",
    "onnx": "onnx",
    "tf2onnx": "onnx",
    "onnxruntime": "onnx",
    "tensorflow_datasets": "tfds",
    "tensorboard": "tensorboard",
    "keras_tuner": "experiments",
    "ray": "ray",
}


class BadInput(click.ClickException):
    """An error that is one line on standard error and exit status 2."""

    exit_code = 2


class Command(click.Command):
    """A command that reports errors in one line without a traceback.

    Errors of the library name Python arguments; here they name the command's ``--flags`` instead.

    Attributes:
        extra: The extra of the installation that all commands need; None if they need none.
    """

    extra: str | None = None

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and exit with its status."""
        for stream in (sys.stdout, sys.stderr):
            # A character that the output cannot encode must not end a command that has finished.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and turn errors about its input into one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except ValueError as error:
            raise BadInput(_with_flags(str(error), ctx.command)) from None
        except ModuleNotFoundError as error:
            raise BadInput(self._how_to_install(error)) from None
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            advice = "; free some space, then run the same command again" if full else ""
            text = (error.strerror or str(error)).lower()
            raise BadInput(f"{text}{where}{advice}") from None
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            raise click.Abort from None
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY:
                raise BadInput(
                    "out of memory: choose smaller batches, images or widths, then run the "
                    "command again"
                ) from None
            raise

    def _how_to_install(self, error: ModuleNotFoundError) -> str:
        module = (error.name or "").partition(".")[0]
        if module in BACKENDS:
            return (
                f"Keras needs a backend, and {module} is not installed: "
                "pip install 'resbuilder[tensorflow]', or set KERAS_BACKEND to one that is"
            )
        extra = EXTRAS.get(module)
        if extra in (None, "search"):  # The commands' own extra installs these modules, too.
            extra = self.extra or extra
        if extra is None:
            raise error
        return f"{module} is not installed: pip install 'resbuilder[{extra}]'"


class Commands(Command, click.Group):
    """A group of commands, listed in the order in which users need them.

    Args:
        modules: For each command by name, the module that defines it under that name, and its line
            in the group's help. The module is imported only when the command is used.
        extra: The extra of the installation that all commands need.
    """

    command_class = Command
    group_class = type

    def __init__(
        self,
        *args: Any,
        modules: dict[str, tuple[str, str]] | None = None,
        extra: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.modules = modules or {}
        self.extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of their definition."""
        return list(self.modules) or list(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command; its module is imported first."""
        if name in self.modules:
            return getattr(importlib.import_module(self.modules[name][0]), name)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing their modules."""
        if not self.modules:
            return super().format_commands(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.modules.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands and options without importing the commands' modules."""
        if not self.modules:
            return super().shell_complete(ctx, incomplete)
        commands = [
            CompletionItem(name, help=line)
            for name, (_, line) in self.modules.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


# Decorator for a command that can print its results as JSON; see :func:`echo_json`.
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the results as JSON on standard output"
)


def echo_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite become null, as JSON has none."""
    click.echo(json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_flags(text: str, command: click.Command) -> str:
    """Replace argument names in an error of the library by the command's ``--flags``.

    ``total_epochs must be positive`` becomes ``--total-epochs must be positive``, and ``give
    flops=`` becomes ``give --flops``.
    """
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name:
            name, flag = parameter.name, max(parameter.opts, key=len)
            # A name without "_" may be an ordinary word. It is taken for an argument only at the
            # start of the message, or before "=".
            place = rf"\b{name}\b" if "_" in name else rf"^{name}(?= must| is| has)|\b{name}(?==)"
            # Not within a word, a flag, a path or quotes, as a column's name.
            text = re.sub(rf"(?<![-\w/'])(?:{place})(?!/)", flag, text)
            # "=" without a value only marks an argument in Python.
            text = re.sub(rf"{flag}=(?=[\s,;:.)]|$)", flag, text)
    return text


@contextlib.contextmanager
def resumed_by(command: Callable[[], str] | None = None) -> Iterator[None]:
    """Print the command that resumes the work if the user presses Ctrl-C.

    Args:
        command: Returns the command; by default it is the running one.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. To resume: {(command or this_command)()}", err=True)
        raise click.Abort from None


def this_command() -> str:
    """Return the running command as the user would type it again."""
    arguments = sys.argv[1:]
    if "-m" in sys.orig_argv[: len(sys.orig_argv) - len(arguments)]:
        module = sys.orig_argv[len(sys.orig_argv) - len(arguments) - 1]
        return shlex.join(["python", "-m", module, *arguments])
    return shlex.join([Path(sys.argv[0]).name, *arguments])
