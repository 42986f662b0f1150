"""Figure 3.1: test accuracy over mass and friction at α = 0.1, no braking, LeNet on Fashion-MNIST.

The grid surrounds the two printed rows with α = 0.1: m = 10 with γ = 0.01 and 0.1.

::

    python -m experiments.phs.mass_friction_grid --preset quick
    python -m experiments.phs.mass_friction_grid --preset thesis
"""

import itertools
from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.trainings import with_and_without_braking
from resbuilder.common.cli import Command

MASSES = (1.0, 3.0, 10.0, 30.0, 100.0)
FRICTIONS = (0.01, 0.03, 0.1, 0.3, 1.0)
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (5_000, 3, 1), "thesis": (None, 10, 1)}


def grid_jobs(preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name."""
    limit, epochs, seeds = PRESETS[preset]
    return {
        f"m{mass:g}_g{friction:g}_seed{seed}": {
            "dataset": "fashion_mnist",
            "limit": limit,
            "seed": seed,
            "batch_size": 128,
            "epochs": epochs,
            "learning_rate": 0.1,
            "mass": mass,
            "friction": friction,
            "brakes": [],
        }
        for seed, mass, friction in itertools.product(range(seeds), MASSES, FRICTIONS)
    }


def publish_from(path: Path) -> None:
    """Write the figure beside a file of results."""
    publish(path, figures.grid(stored(path)))


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure, draw, and say where it is."""
    work, jobs = with_and_without_braking, grid_jobs(preset)
    publish_from(measure("phs/mass_friction_grid", work, jobs, preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
