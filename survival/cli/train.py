"""``survival train``: from images and follow-up to a network and its predictions."""

from __future__ import annotations

from pathlib import Path

import click

from survival.cli.options import cohort_options, read_cohort


@click.command()
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
@click.option("--mean-penalty-form", default="squared_mean", show_default=True)
@click.option("--ties", default="breslow", show_default=True, help="breslow or efron.")
@click.option(
    "--normalization",
    default="events",
    show_default=True,
    help="The loss per events, per batch (rows), or sum.",
)
@click.option("--strata", is_flag=True, help="Slides of different datasets never compete.")
@click.option(
    "--batches",
    default="events",
    show_default=True,
    help="events: dealt out evenly; patients: so, and their slides together; shuffled.",
)
@click.option("--augment", multiple=True, help="flip or stain; repeatable.")
@click.option("--width", type=float, default=1.0, show_default=True, help="Factor on the units.")
@click.option(
    "--micro-batch", type=int, help="Slides in memory at a time.  [5 megapixels together]"
)
@click.option(
    "--dtype", default="float32", show_default=True, help="mixed_bfloat16 halves the memory."
)
@click.option("--seed", type=int, default=0, show_default=True)
def train(manifest, images, out, datasets, time, event, **settings) -> None:
    """Train a Cox network on the images of slides.

    The split "train" of MANIFEST is learnt, "validation" chooses the epoch that is kept, and all
    slides are predicted. Defaults are those of the thesis: batches of 5 slides, 50 epochs of Adam
    with 1e-3. Interrupted, the same command goes on.
    """
    from survival.cli.progress import EpochProgress
    from survival.training import TrainingSettings
    from survival.training import train as train_network

    chosen = TrainingSettings(**settings)
    cohort = read_cohort(manifest, datasets, time, event)
    with EpochProgress(chosen.epochs) as progress:
        run = train_network(cohort, images, out, chosen, [progress])
    kept = run.history.iloc[run.settings["kept_epoch"] - 1]
    score = f", validation C {kept.val_cindex:.3f}" if "val_cindex" in kept else ""
    click.echo(f"{out}: the network of epoch {int(kept.epoch)}{score}; predictions.csv has all")
    click.echo(f"next: survival report {out} --out report.html")
