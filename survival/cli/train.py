"""``survival train``: from images and follow-up to a network and its predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, resumed_by
from resbuilder.common.settings_file import config_option
from survival.cli.options import cohort_options, read_cohort


def choice(option: str, *values: str, help: str | None = None) -> Callable:
    """An option with the values that are allowed; the first is its default.

    They are spelled out here, because the library that knows them loads a backend.
    """
    return click.option(
        option, type=click.Choice(values), default=values[0], show_default=True, help=help
    )


@click.command(cls=Command)
@config_option("out")
@cohort_options("slides, patients, follow-up and split")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the training; goes on there if it was interrupted.",
)
@click.option("--epochs", type=int, default=50, show_default=True)
@click.option("--batch-size", type=int, default=5, show_default=True, help="Slides in a batch.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Of Adam.")
@click.option(
    "--mean-penalty",
    type=float,
    default=0.0,
    show_default=True,
    help="Weight λ of the squared mean log-hazard, which keeps networks in one range.",
)
@choice("--mean-penalty-form", "squared_mean", "squared_sum")
@choice("--ties", "breslow", "efron", help="Approximation for events at one time.")
@choice("--normalization", "events", "batch", "sum", help="The loss per event, per row, or sum.")
@click.option("--strata", is_flag=True, help="Slides of different datasets never compete.")
@choice(
    "--batches",
    "events",
    "patients",
    "shuffled",
    help="events: dealt out evenly; patients: so, and their slides together; shuffled.",
)
@click.option(
    "--augment",
    type=click.Choice(["flip", "stain"]),
    multiple=True,
    help="Random changes of the images; both may be given: --augment flip --augment stain.",
)
@click.option("--width", type=float, default=1.0, show_default=True, help="Factor on the units.")
@click.option(
    "--micro-batch", type=int, help="Slides in memory at a time.  [5 megapixels together]"
)
@choice("--dtype", "float32", "mixed_bfloat16", help="mixed_bfloat16 halves the memory.")
@choice(
    "--strategy",
    "one_device",
    "mirrored",
    help="mirrored: batches are divided among all GPUs of the machine.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def train(manifest, images, out, datasets, time, event, event_is, time_unit, **settings) -> None:
    """Train a Cox network on the images of slides.

    The split "train" of MANIFEST is learnt, "validation" chooses the epoch that is kept, and all
    slides are predicted. Defaults are those of the thesis: batches of 5 slides, 50 epochs of Adam
    with 1e-3. Run the same command again to resume an
    interrupted training.
    """
    # Which splits need events, the training says: of the datasets chosen, and not of the test.
    cohort = read_cohort(manifest, datasets, time, event, event_is, time_unit, need_events=False)
    from survival.images import CanvasImages

    CanvasImages(
        images, cohort.slide
    )  # What is wrong with them, said before the backend is loaded.
    load_backend()
    from survival.cli.progress import EpochProgress
    from survival.training import TrainingSettings
    from survival.training import train as train_network

    chosen = TrainingSettings(**settings)
    with EpochProgress(chosen.epochs) as progress, resumed_by():
        run = train_network(cohort, images, out, chosen, [progress])
    kept = run.history.iloc[run.settings["kept_epoch"] - 1]
    score = f", validation C {kept.val_cindex:.3f}" if "val_cindex" in kept else ""
    click.echo(f"{out}: the network of epoch {int(kept.epoch)}{score}; predictions.csv has all")
    if score and kept.val_cindex <= 0.5:
        click.echo("no epoch was better than chance (0.5) on the validation slides", err=True)
    click.echo(f"next: survival report {out} --out report.html")
