"""The command line: ``survival demo|preprocess|cohort|train|evaluate|report``."""

from __future__ import annotations

import click

from resbuilder.common.cli import Commands

# Name of a command: the module that defines it under that name, and its line in --help.
COMMANDS = {
    "demo": (
        "survival.cli.demo",
        "Go from slides to the report, on slides and a cohort made on the spot.",
    ),
    "preprocess": (
        "survival.cli.preprocess",
        "Turn whole-slide images into inputs of a network.",
    ),
    "cohort": (
        "survival.cli.cohort",
        "Make and check the table of slides, patients and follow-up.",
    ),
    "train": ("survival.cli.train", "Train a Cox network on the images of slides."),
    "evaluate": (
        "survival.cli.evaluate",
        "Predict the slides of MANIFEST with the network of RUN, and say how good that is.",
    ),
    "report": (
        "survival.cli.report",
        "Write one HTML page about the trainings in the folders RUN...",
    ),
}


@click.group(
    cls=Commands,
    modules=COMMANDS,
    extra="survival",
    context_settings={"max_content_width": 100},
)
@click.version_option(package_name="resbuilder")
def main() -> None:
    """Predict the risk of patients from whole-slide images: from the slides to the report."""
