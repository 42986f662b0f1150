"""What patience, the overfitting trigger, adjusting the goal and re-acceleration add.

The thesis names them in its outlook. All with twice the long-run step of the known row, where the
tables show most to gain, and a factor of 10, beside a goal that is never reached and plain goals.

::

    python -m experiments.phs.braking_options fashion_mnist --preset thesis
    python -m experiments.phs.braking_options cifar10 --preset thesis
"""

from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.summary import markdown_of
from experiments.phs.trainings import KNOWN_ROW, with_callback

# Shares of reduction: reached in the first half of the epochs, in the second half, never.
GOALS = {"fashion_mnist": (0.85, 0.88, 0.97), "cifar10": (0.45, 0.525, 0.9)}
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (10_000, 6, 1), "thesis": (None, 8, 3)}


def options(dataset: str, epochs: int) -> dict[str, dict]:
    """Arguments of the braking callback, by the option they show."""
    near, late, far = GOALS[dataset]
    half, third = epochs // 2, max(1, epochs // 3)
    return {
        "no braking": {"target": far},
        "early goal": {"target": near},
        "late goal": {"target": late},
        "patience, from the best weights": {"target": far, "patience": half},
        "patience, adjusted goal": {
            "target": far,
            "patience": third,
            "on_patience": "adjust",
            "adjustment": late / far,
        },
        "onset of overfitting": {"target": far, "overfitting_patience": 1},
        "two minima (port)": {"target": near, "minima": 2, "exploitation": 1},
    }


def option_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name."""
    limit, epochs, seeds = PRESETS[preset]
    return {
        f"{option.replace(' ', '_').replace(',', '')}_seed{seed}": KNOWN_ROW
        | {
            "mass": 5e-4,
            "option": option,
            "dataset": dataset,
            "limit": limit,
            "seed": seed,
            "batch_size": 4,
            "epochs": epochs,
            "braking": {"factor": 10.0} | arguments,
        }
        for seed in range(seeds)
        for option, arguments in options(dataset, epochs).items()
    }


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    groups: dict[str, list[dict]] = {}
    for result in stored(path):
        groups.setdefault(result["job"]["option"], []).append(result)
    publish(path, figures.methods(groups), markdown_of(groups))


@click.command(help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(list(GOALS)))
@standard_options()
def main(dataset, preset, workers, data_dir, out):
    """Measure, write the table, draw."""
    jobs = option_jobs(dataset, preset)
    name = f"phs/braking_options_{dataset}"
    publish_from(measure(name, with_callback, jobs, preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
