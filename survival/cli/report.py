"""``survival report``: folders of trainings become one page."""

from __future__ import annotations

from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command
from resbuilder.common.replacing import begins_otherwise, check_place
from survival.cli.bar import progress_bar
from survival.cli.options import time_unit

# How every report begins.
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
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HTML to write."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@click.option(
    "--horizon",
    type=click.FloatRange(0, min_open=True),
    help="Time for calibration and AUROC.  [median follow-up of the training patients, moved to "
    "where every dataset has events and is still followed]",
)
@click.option(
    "--groups", type=click.IntRange(2, 4), default=2, show_default=True, help="Groups of risk."
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Bootstrap draws for the intervals.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Their seed.")
@click.option("--anonymous", is_flag=True, help="Leave out the names of slides and patients.")
@time_unit
def report(runs: tuple[Path, ...], out: Path, overwrite: bool, **options) -> None:
    """Write one HTML page about the trainings in the folders RUN...

    The page judges runs together that differ only in their data, such as one for each scanner.
    Runs with other settings stand beside them. It also shows what `survival evaluate` has added.
    """
    check_place(out, overwrite, lambda path: begins_otherwise(path, PAGE))
    load_backend()
    from survival.report import write_report

    with progress_bar("report") as progress:
        write_report(runs, out, progress=progress, **options)
    click.echo(f"report: {out}")
