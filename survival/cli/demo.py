"""``survival demo``: every step from slides to the report, on generated slides."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, resumed_by
from resbuilder.common.files import is_empty, only_writer
from resbuilder.common.replacing import strangers
from survival.cli.progress_bar import progress_bar

# Marks a folder as written by this command.
MARK = "demo.txt"
MADE, PAGE = ("slides", "images", "run"), "report.html"
# All files that the command writes.
FILES = (
    MARK,
    PAGE,
    "lock",
    "*.csv",
    "slides/*.tif",
    *(f"images/{name}" for name in ("*.png", "contact_sheet_*.jpg", "manifest.csv", "lock")),
    *(f"run/{name}" for name in ("*.csv", "model.keras", "settings.json", "lock", "checkpoint/*")),
)
SIMULATED = (
    "This is a demonstration. The tissue is real: one micrograph from scikit-image, cut into "
    "pieces. Patients, scanners and outcomes are simulated: the more of a section is stained "
    "brown, the earlier the event, on average. No result here says anything about real patients."
)


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("survival-demo"),
    show_default=True,
    help="Folder for all output.",
)
@click.option("--overwrite", is_flag=True, help="Replace a finished demonstration.")
def demo(out: Path, overwrite: bool) -> None:
    """Run every step, from slides to report, on generated slides and patients.

    The demonstration writes slides of two scanners, with real tissue and simulated outcomes. It
    then prints and runs these commands: preprocess, cohort split, train, evaluate and report.

    It takes about two minutes on two cores and needs no internet connection. Run the same command
    again to resume an interrupted demonstration.
    """
    _refuse(out, overwrite)
    with only_writer(out), resumed_by():
        (out / MARK).write_text(SIMULATED + "\n", encoding="utf-8")
        if (out / PAGE).exists():
            _clear(out)
        _write_slides(out)
        _run_commands(out)
    click.echo(f"\n{SIMULATED}\nOpen the report in a browser: {out / PAGE}")


def _refuse(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds other files, or a finished demonstration."""
    if not is_empty(out) and not (out / MARK).is_file():
        raise ValueError(f"{out} holds other files: choose another folder with --out")
    if (out / PAGE).exists() and not overwrite:
        raise ValueError(
            f"{out / PAGE} already exists: open it in a browser, give --overwrite to run "
            "everything again, or choose another folder with --out"
        )
    if overwrite and out.exists() and (why := strangers(out, FILES)):
        raise ValueError(f"{out} is not overwritten: {why}; move it away, or choose another --out")


def _clear(out: Path) -> None:
    """Remove a finished demonstration."""
    for name in MADE:
        shutil.rmtree(out / name, ignore_errors=True)
    (out / PAGE).unlink()


def _write_slides(out: Path) -> None:
    from survival.demo import write_slides

    (out / "slides").mkdir(exist_ok=True)
    click.echo(f"slides of two scanners: {out / 'slides'}")
    with progress_bar("slides") as progress:
        cohorts = write_slides(out / "slides", progress)
    for scanner, cohort in cohorts.items():
        cohort.write(out / f"{scanner}.csv")
        click.echo(
            f"{out / f'{scanner}.csv'}: {len(cohort)} patients of scanner {scanner}, "
            f"{cohort.event.sum()} with the simulated event"
        )


def _run_commands(out: Path) -> None:
    from survival.cli.cohort import cohort
    from survival.cli.evaluate import evaluate
    from survival.cli.preprocess import preprocess
    from survival.cli.train import train

    split, images, run = out / "A-split.csv", out / "images", out / "run"
    _run(preprocess, out / "slides", "--out", images, "--mpp", 8, "--canvas", "48x32")
    shares = ("--validation", 0.15, "--test", 0.3)
    _run(cohort, "split", out / "A.csv", *shares, "--out", split, "--overwrite")
    size = ("--epochs", 12, "--batch-size", 16, "--width", 0.125)
    _run(train, "--manifest", split, "--images", images, *size, "--out", run)
    _run(evaluate, run, "--manifest", out / "B.csv", "--images", images, "--overwrite")
    _say("report", run, "--out", out / PAGE)
    load_backend()
    from survival.report import write_report

    with progress_bar("report") as progress:
        write_report([run], out / PAGE, repeats=200, progress=progress, remarks=[SIMULATED])


def _run(command: click.Command, *arguments: object) -> None:
    """Print a command line and run it."""
    words = _say(command.name or "", *arguments)
    with command.make_context(command.name, words) as context:
        command.invoke(context)


def _say(*words: object) -> list[str]:
    name, *arguments = map(str, words)
    click.echo(f"\n$ {shlex.join(['survival', name, *arguments])}")
    return arguments
