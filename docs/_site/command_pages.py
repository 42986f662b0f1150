"""The reference pages of the command lines, made from their click commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module

import click

FOLDER = "reference"
PROGRAMS = {"resbuilder": "resbuilder.cli", "survival": "survival.cli"}


def page_of(program: str) -> str:
    """Return the path of a program's page, relative to docs/."""
    return f"{FOLDER}/command-line-{program}.md"


def pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of each page."""
    for program, module in PROGRAMS.items():
        main = import_module(module).main
        lines = [f"# Command line: {program}", ""]
        for context in commands(click.Context(main, info_name=program)):
            lines += _section(context)
        yield page_of(program), "\n".join(lines) + "\n"


def commands(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all commands below it."""
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if not command.hidden:
                yield from commands(click.Context(command, info_name=name, parent=context))


def _section(context: click.Context) -> Iterator[str]:
    command = context.command
    path = context.command_path
    if context.parent:
        yield f"{'#' * (path.count(' ') + 1)} `{path}`"
        yield ""
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from ("```text", *usage.splitlines(), "```", "")
    yield from (_prose(command.help or ""), "")
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    if options:
        yield "| option | value | meaning | default |"
        yield "|---|---|---|---|"
        yield from (_row(option, context) for option in options if not option.hidden)
        yield ""


def _prose(text: str) -> str:
    """Return a help text as Markdown: its paragraphs, and lists that click must not fill."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    blocks = []
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):
            blocks.append("```text\n" + paragraph.lstrip("\b\n") + "\n```")
        else:
            blocks.append(_escaped(paragraph))
    return "\n\n".join(blocks)


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if option.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in option.secondary_opts)
    if option.required:
        names += " (required)"
    value = "" if option.is_flag or option.count else option.make_metavar(context)
    if isinstance(option.type, click.Choice):
        value = ", ".join(f"`{choice}`" for choice in option.type.choices)
    elif value:
        value = f"`{value}`"
    text, shown = option.help or "", ""
    # Many options name their default at the end of the help: "...  [default: 20]".
    if match := re.search(r"\s\s+\[(.+)\]$", text):
        text, shown = text[: match.start()], match[1].removeprefix("default: ")
    elif option.show_default or context.show_default:
        shown = option.get_help_extra(context).get("default", "")
    cells = [names, value, _escaped(text), f"`{shown}`" if shown else ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Return text in which nothing is read as HTML or as emphasis."""
    return re.sub(r"([*_])", r"\\\1", text).replace("<", "&lt;")
