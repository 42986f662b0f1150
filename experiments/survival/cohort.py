"""Make a cohort of two scanners: slide files of real tissue, and the follow-up of their patients.

::

    python -m experiments.survival.cohort --shared SHARED --out two_scanners
    survival preprocess two_scanners/cohort.csv --out two_scanners_images --canvas 96x80

See :mod:`.two_scanner_cohort` for how it is made. It needs the repository and one public file of
follow-up. If two crops of TCGA tissue are also available, the tumour is real melanoma, and there is
fat.
"""

from __future__ import annotations

from pathlib import Path

import click

from resbuilder.common.cli import Command, resumed_by


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the slides, cohort.csv, truth.csv and cohort.png.",
)
@click.option(
    "--shared",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="RESBUILDER_SHARED",
    help="Folder of shared data.  [default: the variable RESBUILDER_SHARED]",
)
@click.option("--seed", default=0, show_default=True, help="Another seed gives other patients.")
@click.option("--patients-a", default=600, show_default=True, help="Patients of scanner A.")
@click.option("--patients-b", default=300, show_default=True, help="Patients of scanner B.")
@click.option("--workers", default=1, show_default=True, help="Processes, each on one core.")
def main(out: Path, shared: Path | None, **settings) -> None:
    """Make the cohort, and draw some of its slides."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from experiments.survival.cohort_figure import draw_cohort
    from experiments.survival.two_scanner_cohort import COHORT, make_cohort

    columns = "slides", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns)
    task = bar.add_task("slides", total=None)

    def progress(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        with resumed_by():
            cohort = make_cohort(out, shared, **settings, progress=progress)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    finally:
        if bar.live.is_started:
            bar.stop()
    draw_cohort(out).savefig(out / "cohort.png", dpi=150)
    click.echo(f"{len(cohort)} slides of {len(set(cohort.patient))} patients: {out / COHORT}")


if __name__ == "__main__":
    main()
