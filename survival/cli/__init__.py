"""The command line: ``survival demo|preprocess|cohort|train|evaluate|predict|report``."""

from __future__ import annotations

import click

from resbuilder.common.cli import Commands

# Name of a command: the module that defines it under that name, and its line in --help.
COMMANDS = {
    "demo": (
        "survival.cli.demo",
        "Run every step, from slides to report, on generated slides and patients.",
    ),
    "preprocess": (
        "survival.cli.preprocess",
        "Convert whole-slide images into input images for a network.",
    ),
    "cohort": (
        "survival.cli.cohort",
        "Build, check and split the table of slides, patients and follow-up.",
    ),
    "train": ("survival.cli.train", "Train a Cox network on slide images."),
    "evaluate": (
        "survival.cli.evaluate",
        "Compute and evaluate risk scores for other slides with a trained network.",
    ),
    "predict": (
        "survival.cli.predict",
        "Compute risk scores for slides without follow-up.",
    ),
    "report": (
        "survival.cli.report",
        "Write an HTML report about one or more trainings.",
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
    """Estimate patients' risk from whole-slide images, from the slide files to a report."""
