"""Beyond the thesis: training on several devices equals training on one, up to rounding.

::

    python -m experiments.scale.mirrored

Each case is trained twice for 20 steps at the same batch size: on one device, and with
``--strategy mirrored`` on all GPUs of the machine. A machine without GPUs uses logical devices of
its CPU, which compute the same one after the other. Batches do not divide evenly among four
devices, and the last batch of an epoch leaves one device without images. All but the Cox network
compute in float64, because a ReLU may amplify rounding errors in later steps. The command prints
the largest difference of weights, optimizer and losses; its exit status is 1 if one exceeds 1e-5.
"""

from __future__ import annotations

import sys

import click

from resbuilder.common.cli import Command

TOLERANCE = 1e-5
# Functions of :mod:`.trainings`.
CASES = ("phs", "resbuilder", "survival")


@click.command(
    cls=Command, help=f"{__doc__.splitlines()[0]} CASE: {', '.join(CASES)}; by default all."
)
@click.argument("cases", nargs=-1, type=click.Choice(CASES), metavar="[CASE]...")
@click.option(
    "--devices",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="Number of logical devices of the CPU, if the machine has no GPU.",
)
def main(cases: tuple[str, ...], devices: int) -> None:
    """Train the cases on one device and on all, and compare."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from experiments.scale.trainings import compare

    click.echo(f"devices: {_devices(devices)}")
    failed = False
    # Each case has its own process: TensorFlow's collectives support one strategy per process.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in cases or CASES:
            difference = pool.submit(compare, name, devices).result()
            failed |= not difference <= TOLERANCE
            click.echo(f"{name}: largest difference {difference:.1e}")
    sys.exit(failed)


def _devices(logical: int) -> str:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise click.UsageError(
            f"Keras uses the backend {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus == 1:
        raise click.UsageError(
            "this machine has only one GPU; set CUDA_VISIBLE_DEVICES= to use logical devices of "
            "the CPU"
        )
    return f"{gpus} GPUs" if gpus else f"{logical} logical devices of the CPU"


if __name__ == "__main__":
    main()
