"""The command line: ``resbuilder search``, ``resume``, ``predict`` and the other commands."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import click

from resbuilder.cli.datasets import datasets
from resbuilder.cli.settings import configuration, settings
from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Commands, echo_json, json_option, resumed_by
from resbuilder.config import FITS, SearchConfig, TrainConfig
from resbuilder.variants import PARTS

_out = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run folder to make."
)
_overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a folder that holds a run and nothing else.",
)
_workers = click.option(
    "--workers",
    type=click.IntRange(1, 3),
    default=1,
    show_default=True,
    help="Trainings at the same time: beside the search No-Reg trainings, or those of a race's "
    "rung, on GPUs of their own.",
)
_existing = click.Path(exists=True, path_type=Path)


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(package_name="resbuilder")
def main() -> None:
    """Grow and prune residual networks to a FLOPs budget."""


@main.command()
@settings(SearchConfig)
@_out
@_overwrite
@_workers
def search(config_file, out: Path, overwrite: bool, workers: int, **given) -> None:
    """Search an architecture for a dataset within a FLOPs budget.

    Take --method race to get the best network for your images: it trains candidates that fill the
    budget, drops the worse ones, and trains the best on. Take --method thesis, the default, to
    reproduce the thesis: it grows and prunes one network, which at an equal number of epochs is
    less accurate.
    """
    config = configuration(SearchConfig, config_file, given)
    load_backend()
    from resbuilder.pipeline import search as run_search

    with resumed_by(_resume(out)):
        _finish(out, run_search(config, out, overwrite, workers=workers))


@main.command()
@click.argument("run", type=_existing)
@_workers
def resume(run: Path, workers: int) -> None:
    """Go on with a search that was interrupted."""
    load_backend()
    from resbuilder.pipeline import resume as run_resume

    with resumed_by(_resume(run)):
        _finish(run, run_resume(run, workers=workers))


@main.command()
@settings(TrainConfig)
@click.option("--flops", type=float, help="ζ: budget: FLOPs for one image  [any]")
@click.option("--scale-to-budget", is_flag=True, help="First scale the widths to fill --flops.")
@_out
@_overwrite
def train(
    config_file,
    flops: float | None,
    scale_to_budget: bool,
    out: Path,
    overwrite: bool,
    **given,
) -> None:
    """Train one architecture: a start network or a JSON file (--start)."""
    config = configuration(TrainConfig, config_file, given)
    load_backend()
    from resbuilder.single import train as train_one

    record = train_one(config, out, flops, scale_to_budget, overwrite)
    click.echo(f"{record['architecture']}\n{record['flops']:,} FLOPs, depth {record['depth']}")
    _echo_result("validation", record["validation"])
    _echo_result("test", record["test"])
    click.echo(f"model: {out / 'models' / 'best.keras'}")


@main.command()
@click.argument("model", type=_existing)
@click.option("--dataset", help="Name of a dataset, or a folder of images  [that of the run]")
@click.option("--data-dir", help="Folder with <dataset>.npz files [env RESBUILDER_DATA]")
@click.option("--split", type=click.Choice(PARTS), default="test", show_default=True)
@json_option
def evaluate(model: Path, split: str, as_json: bool, **given) -> None:
    """Evaluate a run's model, or a .keras file, on a part of a dataset."""
    load_backend()
    from resbuilder.single import evaluate_single

    result = evaluate_single(model, split, **given)
    if as_json:
        _check_finite(split, result)
        echo_json({"model": str(model), "split": split} | result)
    else:
        _echo_result(split, result)


@main.command()
@click.argument("model", type=_existing)
@click.argument("photos", nargs=-1, required=True, type=_existing)
@click.option(
    "--csv",
    "table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write file, class and all probabilities into this file.",
)
@click.option("--overwrite", is_flag=True, help="Replace a --csv file of this command.")
@json_option
def predict(
    model: Path, photos: tuple[Path, ...], table: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Say of PHOTOS, files or folders of them, which class they show and how probably.

    MODEL is a run folder, a .keras or .onnx file, or the folder of a SavedModel. Pictures are
    decoded and resized as those of the training were.
    """
    from resbuilder.cli.predictions import check_table, say_predictions

    if table is not None:
        check_table(table, overwrite)
    load_backend()
    from resbuilder.prediction import Predictor

    say_predictions(Predictor(model), photos, table, as_json)


@main.command()
@click.option("--dataset", required=True, help="Name of a dataset, or a folder of images.")
@click.option("--data-dir", help="Folder with <dataset>.npz files [env RESBUILDER_DATA].")
@click.option("--image-size", help="Side of a folder's images, or HEIGHTxWIDTH [suggested].")
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default=FITS[0],
    show_default=True,
    help="How images get that shape.",
)
@click.option("--flops", type=click.FloatRange(0, min_open=True), help="Budget ζ [suggested].")
def plan(**given) -> None:
    """Before a search: what the images are, which settings suit them, how long it will take."""
    load_backend()
    from resbuilder.cli.tables import plan_text
    from resbuilder.plan import plan as make_plan

    click.echo(plan_text(make_plan(**given, say=lambda text: click.echo(text, err=True))))


@main.command()
@click.argument("run", type=_existing)
def report(run: Path) -> None:
    """Rebuild figures and report.html from a run folder alone."""
    load_backend()
    _finish(run)


@main.command()
@click.argument("model", type=_existing)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", type=click.Choice(("keras", "saved_model", "onnx")), required=True)
def export(model: Path, path: Path, format: str) -> None:
    """Export a saved model (a .keras file or a run folder), checked to compute the same.

    Class names, and how pictures are read, travel with it: `resbuilder predict` takes what is
    written here.
    """
    load_backend()
    from resbuilder.card import read_keras_card
    from resbuilder.export import export as run_export
    from resbuilder.single import load_model, model_file

    card = read_keras_card(model_file(model))
    difference = run_export(load_model(model), path, format, card)
    click.echo(f"{path}: outputs equal to {difference:.1e} of the largest")
    if card is None:
        click.echo(f"Warning: {model} does not say which classes it tells apart", err=True)


main.add_command(datasets)


def _resume(run: Path) -> str:
    return shlex.join(["resbuilder", "resume", str(run)])


def _finish(run: Path, result=None) -> None:
    """Write the report of a search, print its table, and fail if it found nothing."""
    from rich.console import Console

    from resbuilder.cli.tables import search_table
    from resbuilder.report import write_report

    page = write_report(run)
    Console().print(search_table(run))
    click.echo(f"report: {page}")
    if result is not None and result.best is None:
        raise ValueError(f"no network within the budget was trained: {result.reason}")


def _echo_result(part: str, result: dict) -> None:
    _check_finite(part, result)
    accuracy, loss = result["accuracy"], result["loss"]
    balanced = 100 * result["balanced_accuracy"]
    click.echo(
        f"{part}: accuracy {100 * accuracy:.2f} %, balanced {balanced:.2f} %, "
        f"cross-entropy {loss:.4f}"
    )


def _check_finite(part: str, result: dict) -> None:
    values = result["accuracy"], result["loss"]
    if not all(value is not None and math.isfinite(value) for value in values):
        raise ValueError(f"the {part} loss is not finite: the training diverged")
