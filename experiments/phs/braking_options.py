"""Outlook of chapter 3: when to brake, how hard, patience, overfitting, re-acceleration, "auto".

All trainings have a long-run step of 1/3; that of the first printed row of Fashion-MNIST is 0.1.
They are compared with a goal that is never reached and with plain goals with two factors.

::

    python -m experiments.phs.braking_options fashion_mnist --preset thesis
    python -m experiments.phs.braking_options cifar10 --preset thesis
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.phs.rows import TITLES
from resbuilder.common.cli import Command

# α, γ as a rate, m: heavy ball with momentum 0.99 and a long-run step of 1/3.
DYNAMICS = {"learning_rate": 0.1, "friction": 0.1, "mass": 3.0}
# Training losses: one is reached early, one late or not at all, and one never.
GOALS = {"fashion_mnist": (0.25, 0.15, 0.01), "cifar10": (1.0, 0.75, 0.05)}
# Loss of a network that knows nothing about ten classes.
INITIAL = math.log(10)
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (10_000, 6, 1), "thesis": (None, 24, 3)}


def options(dataset: str, epochs: int) -> dict[str, dict]:
    """Return the arguments of the braking callback by the name of the option they test."""
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
    """Return the settings of the trainings by name, first all options with the first seed."""
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


def work(job: dict) -> dict:
    """Do one job."""
    from experiments.phs.trainings import with_callback

    return with_callback(job)


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.phs import figures
    from experiments.phs.summary import COLUMNS, markdown_of, page

    groups: dict[str, list[dict]] = {}
    results = stored(path)
    for result in results:
        groups.setdefault(result["job"]["option"], []).append(result)
    text = page(
        f"Options of braking: LeNet on {TITLES[results[0]['job']['dataset']]}",
        "All trainings have a long-run step of 1/3; that of the first printed row of "
        "Fashion-MNIST is 0.1.",
        COLUMNS,
        markdown_of(groups),
    )
    publish(path, figures.methods(groups), text)


def _experiment(dataset: str, thesis: str) -> Experiment:
    return Experiment(
        jobs={f"phs/braking_options_{dataset}": partial(option_jobs, dataset)},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": thesis},
        arguments=dataset,
    )


EXPERIMENTS = (
    _experiment("fashion_mnist", "1.5 hours on one core"),
    _experiment("cifar10", "2 hours on one core"),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(list(GOALS)))
@standard_options("phs", seeds={name: seeds for name, (*_, seeds) in PRESETS.items()})
def main(dataset: str, preset: str, running: Running) -> None:
    """Measure, and write the table and the figure."""
    jobs = option_jobs(dataset, preset)
    name = f"phs/braking_options_{dataset}"
    publish_from(measure(name, work, jobs, preset, running))


if __name__ == "__main__":
    main()
