"""Figure 3.1: test accuracy over mass and friction, LeNet on Fashion-MNIST, α = 0.1, no braking.

The grid surrounds the two printed rows with α = 0.1: m = 10 with γ = 0.01 and 0.1.

::

    python -m experiments.phs.mass_friction_grid --preset quick
    python -m experiments.phs.mass_friction_grid --preset thesis
"""

from __future__ import annotations

import itertools
from pathlib import Path

from experiments.measuring import publish, stored
from experiments.script import script

MASSES = (1.0, 3.0, 10.0, 30.0, 100.0)
FRICTIONS = (0.01, 0.03, 0.1, 0.3, 1.0)
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (5_000, 3, 1), "thesis": (None, 10, 1)}


def grid_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the trainings by name."""
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


def work(job: dict) -> dict:
    """Do one job."""
    from experiments.phs.trainings import with_and_without_braking

    return with_and_without_braking(job)


def publish_from(path: Path) -> None:
    """Write the figure next to a results file."""
    from experiments.phs import figures

    publish(path, figures.grid(stored(path)))


EXPERIMENTS, main = script(
    "phs/mass_friction_grid",
    work,
    grid_jobs,
    publish_from,
    times={"quick": "minutes on 2 cores", "thesis": "half an hour on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
