"""The command line: ``resbuilder search``, ``resume``, ``predict`` and the other commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from resbuilder.cli.datasets import datasets
from resbuilder.cli.settings import configuration, data_dir_option, merged_settings, settings
from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Commands, echo_json, json_option, resumed_by, this_command
from resbuilder.common.words import count
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.variants import FITS, PARTS

_out = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Run folder to create"
)
_overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace --out if it holds a run and nothing else",
)
_workers = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings to run at the same time, each on its own GPU: those of a race, or with "
    "--method thesis the No-Reg trainings, of which there are two at a time",
)

_existing = click.Path(exists=True, path_type=Path)


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.version_option(package_name="resbuilder")
def main() -> None:
    """Search, train and use residual networks that fit a FLOPs budget."""


@main.command()
@settings(SearchConfig)
@_out
@_overwrite
@_workers
def search(config_file, out: Path, overwrite: bool, workers: int, **given) -> None:
    """Search for the best architecture within a FLOPs budget.

    Use --method race to get the most accurate network for your images: it trains candidates, drops
    the worse ones, and joins the best two into one network that fills the budget. Use --method
    thesis, the default, to reproduce the thesis: it grows and prunes one network, which is less
    accurate after the same number of epochs.

    The run folder --out gets the trained network, a journal and report.html. An interrupted search
    continues with `resbuilder resume`.
    """
    config = configuration(SearchConfig, merged_settings(config_file, given))
    load_backend()
    from resbuilder.pipeline import search as run_search

    with resumed_by(_resume_once_begun(out)):
        _finish(out, run_search(config, out, overwrite, workers=workers))


@main.command()
@click.argument("run", type=_existing)
@_workers
def resume(run: Path, workers: int) -> None:
    """Resume the interrupted search in the folder RUN."""
    load_backend()
    from resbuilder.pipeline import resume as run_resume

    with resumed_by(lambda: _resume(run)):
        _finish(run, run_resume(run, workers=workers))


@main.command()
@settings(TrainConfig)
@click.option("--flops", type=float, help="FLOPs budget per image (ζ)  [default: no budget]")
@click.option("--scale-to-budget", is_flag=True, help="Scale the widths first to fill --flops")
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
    """Train one architecture, without a search.

    --start names it: a known network, a run folder, or a JSON file.
    """
    budget = {"flops": flops, "scale_to_budget": scale_to_budget or None}
    found = merged_settings(config_file, given | budget, beyond=list(budget))
    zeta, scale = found.pop("flops", None), found.pop("scale_to_budget", False)
    config = configuration(TrainConfig, found)
    load_backend()
    from resbuilder.single import train as train_one

    record = train_one(config, out, zeta, scale, overwrite)
    click.echo(f"{record['architecture']}\n{record['flops']:,} FLOPs, depth {record['depth']}")
    _echo_result("validation", record["validation"])
    _echo_result("test", record["test"])
    click.echo(f"model: {out / 'models' / 'best.keras'}")


@main.command()
@click.argument("model", type=_existing)
@click.option(
    "--dataset",
    help="Name of a dataset, or a folder of images: its test part is evaluated, or all images if "
    "it has none, without those that the run has trained with  [default: that of the run]",
)
@click.option(
    "--data-dir",
    help="Folder with <dataset>.npz files  [default: that of the run, or $RESBUILDER_DATA]",
)
@click.option(
    "--split",
    type=click.Choice(PARTS),
    default="test",
    show_default=True,
    help="Part of the dataset",
)
@json_option
def evaluate(model: Path, split: str, as_json: bool, **given) -> None:
    """Evaluate a trained network on one part of a dataset.

    MODEL is a run folder or a .keras file.
    """
    from resbuilder.datasets import check_found

    dataset = given["dataset"]
    # Before a backend is loaded. A name may be that of data in the data folder of a run.
    if dataset is not None and (not model.is_dir() or Path(dataset).name != dataset):
        check_found(dataset, given["data_dir"])
    load_backend()
    from resbuilder.evaluation import evaluate as evaluate_one

    result = evaluate_one(model, split, **given)
    if as_json:
        _check_finite(split, result)
        echo_json({"model": str(model), "split": result.pop("part")} | result)
    else:
        _echo_result(result["part"], result)


@main.command()
@click.argument("model", type=_existing)
@click.argument("photos", nargs=-1, required=True, type=_existing)
@click.option(
    "--csv",
    "table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the class and all probabilities of each image to this CSV file",
)
@click.option("--overwrite", is_flag=True, help="Replace the --csv file if this command wrote it")
@json_option
def predict(
    model: Path, photos: tuple[Path, ...], table: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Classify image files with a trained network.

    MODEL is a run folder, a .keras or .onnx file, or the folder of a SavedModel. PHOTOS are image
    files, or folders of them. They are decoded and resized like the training images.
    """
    from resbuilder.cli.predictions import HEADER, say_predictions
    from resbuilder.common.replacing import check_table

    if table is not None:
        check_table(table, overwrite, HEADER)
    load_backend()
    from resbuilder.prediction import Predictor

    say_predictions(Predictor(model), photos, table, as_json)


@main.command()
@click.option("--dataset", required=True, help="Name of a dataset, or a folder of images")
@data_dir_option
@click.option(
    "--image-size",
    help="Resize images of a folder to squares of this side, or to HEIGHTxWIDTH, in pixels  "
    "[default: suggested]",
)
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default=FITS[0],
    show_default=True,
    help="How images of a folder get the new shape: stretched, cropped, or padded with black bars",
)
@click.option(
    "--flops",
    type=click.FloatRange(0, min_open=True),
    help="FLOPs budget per image (ζ)  [default: suggested]",
)
def plan(**given) -> None:
    """Inspect a dataset and suggest settings for a race.

    Prints what the images are, the suggested settings, an estimate of the time on this machine,
    and the command that starts the search.
    """
    from resbuilder.datasets import check_found

    check_found(given["dataset"], given["data_dir"])
    load_backend()
    from resbuilder.cli.tables import plan_text
    from resbuilder.plan import plan as make_plan

    click.echo(plan_text(make_plan(**given, say=lambda text: click.echo(text, err=True))))


@main.command()
@click.argument("run", type=_existing)
def report(run: Path) -> None:
    """Write report.html and the figures of a search again.

    RUN is a run folder, which may have been moved; nothing else is needed.
    """
    load_backend()
    _finish(run)


@main.command()
@click.argument("model", type=_existing)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format",
    type=click.Choice(("keras", "saved_model", "onnx")),
    required=True,
    help="Format of PATH",
)
def export(model: Path, path: Path, format: str) -> None:
    """Export a trained network to deploy it elsewhere.

    MODEL is a run folder or a .keras file; PATH is the file to write, or the folder of a
    SavedModel. The command checks that the exported network computes the same outputs. The names
    of the classes, and how to read image files, are stored in it, so `resbuilder predict` accepts
    it as MODEL.
    """
    load_backend()
    from resbuilder.export import export as run_export
    from resbuilder.model_card import read_keras_card
    from resbuilder.single import load_model, model_file

    card = read_keras_card(model_file(model))
    difference = run_export(load_model(model), path, format, card)
    click.echo(f"{path}: outputs agree with the original's to {difference:.1e} of the largest")
    if card is None:
        click.echo(
            f"Warning: {model} does not name its classes, so `resbuilder predict` cannot use "
            f"{path}",
            err=True,
        )


main.add_command(datasets)


def _resume(run: Path) -> str:
    return shlex.join(["resbuilder", "resume", str(run)])


def _resume_once_begun(out: Path) -> Callable[[], str]:
    """Return a function that returns the command to resume a search: at first the running one.

    Until the search has made its run folder, ``out`` may be missing, or be that of an older run.
    """

    def written() -> int | None:
        config = out / "config.json"
        return config.stat().st_mtime_ns if config.is_file() else None

    before = written()
    return lambda: this_command() if written() == before else _resume(out)


def _finish(run: Path, result=None) -> None:
    """Write the report of a search and print its table.

    Raises:
        ValueError: If the search found no network.
    """
    from resbuilder.cli.tables import print_whole, search_table
    from resbuilder.report import write_report

    page = write_report(run)
    print_whole(search_table(run))
    click.echo(f"report: {page}")
    if result is not None and result.best is None:
        raise ValueError(f"the search trained no network within the budget: {result.reason}")


def _echo_result(part: str, result: dict) -> None:
    _check_finite(part, result)
    accuracy, loss = result["accuracy"], result["loss"]
    balanced = 100 * result["balanced_accuracy"]
    click.echo(
        f"{part}: accuracy {100 * accuracy:.2f} %, balanced accuracy {balanced:.2f} %, "
        f"cross-entropy {loss:.4f}"
        + (f", {count(result['images'], 'image')}" if "images" in result else "")
    )


def _check_finite(part: str, result: dict) -> None:
    values = result["accuracy"], result["loss"]
    if not all(value is not None and math.isfinite(value) for value in values):
        raise ValueError(f"the {part} loss is not finite: the training diverged")
