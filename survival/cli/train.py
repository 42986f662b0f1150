"""``survival train``: from images and follow-up to a network and its risk scores."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, resumed_by
from resbuilder.common.settings_file import config_option
from survival.cli.options import cohort_options, read_cohort


def choice(option: str, *values: str, help: str | None = None) -> Callable:
    """Return an option with its allowed values, of which the first is the default.

    The values are repeated here, because the modules that define them load a backend.
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
    help="Run folder to write. An interrupted training in it is resumed.",
)
@click.option(
    "--epochs", type=int, default=50, show_default=True, help="Passes over the training slides."
)
@click.option("--batch-size", type=int, default=5, show_default=True, help="Slides in a batch.")
@click.option(
    "--learning-rate",
    type=float,
    default=1e-3,
    show_default=True,
    help="Learning rate of the optimizer Adam.",
)
@click.option(
    "--mean-penalty",
    type=float,
    default=0.0,
    show_default=True,
    help="Weight λ of a penalty on the mean log-hazard. It keeps the scores of different networks "
    "in one range.",
)
@choice(
    "--mean-penalty-form",
    "squared_mean",
    "squared_sum",
    help="squared_mean: λ·mean²; squared_sum: λ·sum²/n, for n slides in a batch.",
)
@choice("--ties", "breslow", "efron", help="Approximation for events at the same time.")
@choice(
    "--normalization",
    "events",
    "batch",
    "sum",
    help="Divide the loss of a batch by its number of events (events) or of slides (batch), or not "
    "at all (sum).",
)
@click.option("--strata", is_flag=True, help="Compare slides only within their own dataset.")
@choice(
    "--batches",
    "events",
    "patients",
    "shuffled",
    help="events: spread slides with an event evenly over the batches; patients: as 'events', "
    "keeping each patient's slides in one batch; shuffled: fill the batches at random.",
)
@click.option(
    "--augment",
    type=click.Choice(["flip", "stain"]),
    multiple=True,
    help="Change training images at random: mirror them (flip) or vary their stain (stain). "
    "Repeatable: --augment flip --augment stain.",
)
@click.option(
    "--width",
    type=float,
    default=1.0,
    show_default=True,
    help="Factor on the width of every layer but the last; smaller networks are faster.",
)
@click.option(
    "--micro-batch",
    type=int,
    help="Slides processed at a time within a batch. Fewer need less memory; the gradient is "
    "always that of the whole batch.  [default: as many as have 5 megapixels together]",
)
@choice("--dtype", "float32", "mixed_bfloat16", help="mixed_bfloat16 needs half as much memory.")
@choice(
    "--strategy",
    "one_device",
    "mirrored",
    help="mirrored: divide each batch among all GPUs of the machine.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed of the initial weights, the batches and the augmentation.",
)
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard logs to OUT/tensorboard.")
def train(
    manifest, images, out, datasets, time, event, event_is, time_unit, tensorboard, **settings
) -> None:
    """Train a Cox network on slide images.

    The network learns from the slides of the split "train". The split "validation" decides which
    epoch's network is kept, by a C-index in which each slide counts. All slides of the manifest
    then get a risk score; a higher score means a higher risk.

    Epochs, batch size and learning rate default to those of the thesis. For its loss and its
    batches, add --normalization sum --batches shuffled.

    Run the same command again to resume an interrupted training.
    """
    # The training itself checks the events: of the chosen datasets, and not of the test split.
    cohort = read_cohort(manifest, datasets, time, event, event_is, time_unit, need_events=False)
    from survival.images import CanvasImages

    CanvasImages(images, cohort.slide)  # Finds missing images before the backend is loaded.
    if tensorboard:
        import_module("tensorboard")  # Keras would report only much later that it is missing.
    load_backend()
    from survival.cli.keras_progress import EpochProgress
    from survival.training import TrainingSettings
    from survival.training import train as train_network

    chosen = TrainingSettings(**settings)
    with EpochProgress(chosen.epochs) as progress, resumed_by():
        watching = [progress]
        if tensorboard:
            from keras.callbacks import TensorBoard

            watching.append(TensorBoard(str(out / "tensorboard"), write_graph=False))
        run = train_network(cohort, images, out, chosen, watching)
    kept = run.history.iloc[run.settings["kept_epoch"] - 1]
    score = f", validation C-index {kept.val_cindex:.3f}" if "val_cindex" in kept else ""
    click.echo(f"{out}: kept the network of epoch {int(kept.epoch)}{score}")
    click.echo(f"risk scores of all slides: {out / 'predictions.csv'}")
    if score and kept.val_cindex <= 0.5:
        click.echo(
            "Warning: no epoch was better than chance (C-index 0.5) on the validation slides",
            err=True,
        )
    report = shlex.join(["survival", "report", str(out), "--out", "report.html"])
    click.echo(f"next: {report}")
