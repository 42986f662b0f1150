"""When to brake, how hard, and what patience, overfitting, re-acceleration and "auto" add.

The thesis names most of them in its outlook. All with three times the long-run step of the first
printed row of Fashion-MNIST, beside a goal that is never reached and plain goals with two factors.

::

    python -m experiments.phs.braking_options fashion_mnist --preset thesis
    python -m experiments.phs.braking_options cifar10 --preset thesis
"""

import math
from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.summary import markdown_of
from experiments.phs.trainings import with_callback
from resbuilder.common.cli import Command

# α, γ as a rate, m: heavy ball with momentum 0.99 and a long-run step of 1/3.
DYNAMICS = {"learning_rate": 0.1, "friction": 0.1, "mass": 3.0}
# Training losses: reached in the first half of the epochs, in the second half, never.
GOALS = {"fashion_mnist": (0.25, 0.15, 0.01), "cifar10": (1.0, 0.75, 0.05)}
# Loss of a network that knows nothing about ten classes.
INITIAL = math.log(10)
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (10_000, 6, 1), "thesis": (None, 24, 3)}


def options(dataset: str, epochs: int) -> dict[str, dict]:
    """Arguments of the braking callback, by the option they show."""
    near, late, far = GOALS[dataset]
    half, third = max(1, epochs // 2), max(1, epochs // 3)
    return {
        "no braking": {"target": far},
        "early goal": {"target": near},
        "early goal, ×100": {"target": near, "factor": 100.0},
        "late goal": {"target": late},
        "late goal, ×100": {"target": late, "factor": 100.0},
        "patience, from the best weights": {"target": far, "patience": half},
        "patience, adjusted goal": {
            "target": far,
            "patience": third,
            "on_patience": "adjust",
            "adjustment": (INITIAL - late) / (INITIAL - far),
        },
        "onset of overfitting": {"target": far, "overfitting_patience": 2},
        "two minima (port)": {"target": near, "minima": 2, "exploitation": 6},
        "automatic": {"target": "auto", "validation": "val_accuracy"},
    }


def option_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name; all options with the first seed come first."""
    limit, epochs, seeds = PRESETS[preset]
    jobs = {}
    for seed in range(seeds):
        for option, arguments in options(dataset, epochs).items():
            goal = {} if arguments["target"] == "auto" else {"factor": 10.0, "target_is": "loss"}
            words = option.replace(",", "").replace("×", "x").split()
            jobs[f"{'_'.join(words)}_seed{seed}"] = DYNAMICS | {
                "option": option,
                "dataset": dataset,
                "limit": limit,
                "seed": seed,
                "batch_size": 128,
                "epochs": epochs,
                "braking": goal | arguments,
            }
    return jobs


def publish_from(path: Path) -> None:
    """Write table and figure beside a file of results."""
    groups: dict[str, list[dict]] = {}
    for result in stored(path):
        groups.setdefault(result["job"]["option"], []).append(result)
    publish(path, figures.methods(groups), markdown_of(groups))


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(list(GOALS)))
@standard_options()
def main(dataset, preset, workers, data_dir, out):
    """Measure, write the table, draw."""
    jobs = option_jobs(dataset, preset)
    name = f"phs/braking_options_{dataset}"
    publish_from(measure(name, with_callback, jobs, preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
