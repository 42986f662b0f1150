"""The command line: ``survival preprocess|cohort|train|evaluate|report``."""

from __future__ import annotations

import click

from resbuilder.common.cli import Commands

# Name of a command: the module that defines it under that name, imported when it is used.
COMMANDS = {
    "preprocess": "survival.cli.preprocess",
    "cohort": "survival.cli.cohort",
    "train": "survival.cli.train",
    "evaluate": "survival.cli.evaluate",
    "report": "survival.cli.report",
}


@click.group(cls=Commands, modules=COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(package_name="resbuilder")
def main() -> None:
    """Predict the risk of patients from whole-slide images: from the slides to the report."""
