"""``survival report``: one HTML page about one or more run folders."""

from __future__ import annotations

from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command
from resbuilder.common.replacing import begins_otherwise, check_place
from survival.cli.options import time_unit
from survival.cli.progress_bar import progress_bar

# The beginning of every report, by which `--overwrite` recognizes one.
PAGE = '<!doctype html>\n<html lang="en">\n<head>\n<meta name="generator" content="survival">'


@click.command(cls=Command)
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN...",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="HTML file to write.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@click.option(
    "--horizon",
    type=click.FloatRange(0, min_open=True),
    help="Time at which calibration and AUROC are evaluated.  [median follow-up of the training "
    "patients, moved to where every dataset has events and patients under follow-up]",
)
@click.option(
    "--groups",
    type=click.IntRange(2, 4),
    default=2,
    show_default=True,
    help="Number of risk groups.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Bootstrap repeats for the confidence intervals.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the bootstrap.",
)
@click.option("--anonymous", is_flag=True, help="Omit the names of slides and patients.")
@time_unit
def report(runs: tuple[Path, ...], out: Path, overwrite: bool, **options) -> None:
    """Write an HTML report about one or more trainings.

    Each RUN is an output folder of `survival train`. Trainings that differ only in their data,
    such as one per scanner, are evaluated together. Trainings with other settings are shown next
    to them. The report includes the results that `survival evaluate` added to the folders.
    """
    check_place(out, overwrite, lambda path: begins_otherwise(path, PAGE))
    load_backend()
    from survival.report import write_report

    with progress_bar("report") as progress:
        write_report(runs, out, progress=progress, **options)
    click.echo(f"report: {out}")
