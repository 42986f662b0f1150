"""Figure 3.1: test accuracy over mass and friction, without braking, LeNet on Fashion-MNIST.

::

    python -m experiments.phs.mass_friction_grid --preset quick
    python -m experiments.phs.mass_friction_grid --preset thesis
"""

import itertools
from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.trainings import KNOWN_ROW, with_and_without_braking

MASSES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
FRICTIONS = (1.0, 3.0, 10.0, 30.0, 100.0)
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (5_000, 3, 1), "thesis": (None, 2, 1)}


def grid_jobs(preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name."""
    limit, epochs, seeds = PRESETS[preset]
    return {
        f"m{mass:g}_g{friction:g}_seed{seed}": {
            "dataset": "fashion_mnist",
            "limit": limit,
            "seed": seed,
            "batch_size": 4,
            "epochs": epochs,
            "learning_rate": KNOWN_ROW["learning_rate"],
            "mass": mass,
            "friction": friction,
            "brakes": [],
        }
        for seed, mass, friction in itertools.product(range(seeds), MASSES, FRICTIONS)
    }


def publish_from(path: Path) -> None:
    """Writes the figure beside a file of results."""
    publish(path, figures.grid(stored(path)))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure, draw, and say where it is."""
    jobs = grid_jobs(preset)
    path = measure(
        "phs/mass_friction_grid", with_and_without_braking, jobs, preset, workers, data_dir, out
    )
    publish_from(path)


if __name__ == "__main__":
    main()
