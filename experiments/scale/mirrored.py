"""Several devices train as one: the largest difference between the two, after 20 steps.

    python -m experiments.scale.mirrored

Each case is trained twice at the same batch size, on one device and by ``--strategy mirrored`` on
all GPUs of the machine; where there are none, on logical devices of its CPU, which do the same one
after the other. Batches do not divide evenly among four devices, and the last of an epoch leaves
one with nothing. Numbers are float64, but for the Cox network, so that rounding, which a ReLU may
amplify in later steps, hides nothing. The exit status is 1 where weights, optimizer or losses
differ by more than 1e-5.
"""

from __future__ import annotations

import sys

import click

from resbuilder.common.cli import Command

TOLERANCE = 1e-5
# Functions of :mod:`.trainings`.
CASES = ("phs", "resbuilder", "survival")


@click.command(cls=Command)
@click.argument("cases", nargs=-1, type=click.Choice(CASES))
@click.option(
    "--devices",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="Logical devices of the CPU, where there are no GPUs.",
)
def main(cases: tuple[str, ...], devices: int) -> None:
    """Train CASES (all by default) on one device and on all, and compare."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from experiments.scale.trainings import compare

    click.echo(f"devices: {_devices(devices)}")
    failed = False
    # A process for each: TensorFlow's collectives stand one strategy only.
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
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus == 1:
        raise click.UsageError("one GPU only; set CUDA_VISIBLE_DEVICES= to compare on the CPU")
    return f"{gpus} GPUs" if gpus else f"{logical} logical ones of the CPU"


if __name__ == "__main__":
    main()
