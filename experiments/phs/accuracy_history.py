"""Figure 3.3: accuracy over the epochs with and without braking; does it curb overfitting?

::

    python -m experiments.phs.accuracy_history --preset quick
    python -m experiments.phs.accuracy_history --preset thesis
"""

from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.trainings import KNOWN_ROW, with_and_without_braking

BRAKES = [(0.525, 10.0), (0.525, 100.0)]
# Training images (None: all), epochs, seeds. Long enough that LeNet overfits CIFAR-10.
PRESETS = {"quick": (10_000, 20, 1), "thesis": (None, 20, 3)}


def history_jobs(preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name."""
    limit, epochs, seeds = PRESETS[preset]
    return {
        f"seed{seed}": KNOWN_ROW
        | {
            "dataset": "cifar10",
            "limit": limit,
            "seed": seed,
            "batch_size": 4,
            "epochs": epochs,
            "brakes": BRAKES,
        }
        for seed in range(seeds)
    }


def publish_from(path: Path) -> None:
    """Writes the figure beside a file of results."""
    publish(path, figures.histories(stored(path)))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure, draw, and say where it is."""
    jobs = history_jobs(preset)
    path = measure(
        "phs/accuracy_history", with_and_without_braking, jobs, preset, workers, data_dir, out
    )
    publish_from(path)


if __name__ == "__main__":
    main()
