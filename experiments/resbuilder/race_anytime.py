"""Beyond the thesis: accuracy over time of a race, of Hyperband and of two random searches.

::

    python -m experiments.resbuilder.race_anytime cifar10 --preset laptop

The other dataset is `fashion_mnist`.

All choose among the race's candidates, with its batches, optimizer and smoothed labels. In a race
each candidate fills half of ζ, because the final network joins two.

- **Hyperband**, KerasTuner's, trains networks that fill ζ at a constant learning rate and averages
  weights, as a race does in its trial. Networks that are promoted keep their weights and optimizer
  state. A network gets at most 0.6·T epochs. Its learning rate never falls.
- **Random search** draws networks that fill ζ, with replacement, and trains each for T/3 epochs, in
  which the learning rate falls to 0.
- **Random search for pairs** does the same with networks of ζ/2. Its result joins the best two on
  validation data, as a race's does.

All run for the processor time of the race, and end the training that they have begun. At each time
the best network so far on validation data counts. The time for test images is not counted, except
a few seconds at the end of the race, which the other methods get, too.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, results_file, stored
from experiments.resbuilder import anytime
from experiments.resbuilder.race_jobs import PRESETS, SEEDS
from resbuilder.common.cli import Command

RACE, HYPERBAND, RANDOM = "race", "Hyperband", "random search"
PAIRS = "random search for pairs"
METHODS = (RACE, HYPERBAND, RANDOM, PAIRS)
DATASETS = ("fashion_mnist", "cifar10")


def curves(results: list[dict]) -> tuple[np.ndarray, anytime.Curves]:
    """Return times up to the end of the longest race, and accuracies (seeds, times)."""
    end = max(r["seconds"] for r in results if r["job"]["method"] == RACE)
    return anytime.curves(results, METHODS, end)


def markdown(results: list[dict]) -> str:
    """Return the table of accuracies at some times, and the largest deficit of the race."""
    from resbuilder.report.style import si

    times, found = curves(results)
    s = results[0]["job"]["settings"]
    text = (
        f"{anytime.markdown(times, found)}\n{s['dataset']}, ζ = {si(s['flops'])}FLOPs, "
        f"T = {s['total_epochs']} epochs. Times are processor seconds on one core; accuracies are "
        "mean ± standard deviation over seeds.\n"
    )
    for method in METHODS[1:]:
        if method in found:
            gained = anytime.ahead(times, found[RACE], found[method])
            text += (
                f"After the first tenth of the time, the race is above {method} for "
                f"{(gained > 0).mean():.0%} of the rest; its smallest lead is "
                f"{100 * gained.min():+.2f} points, at the end it is {100 * gained[-1]:+.2f}.\n"
            )
    return text


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    publish(path, anytime.draw(*curves(results)), markdown(results))


def work(job: dict) -> dict:
    """Do one job: follow one of the methods."""
    from experiments.resbuilder.race_followed import (
        follow,
        hyperband,
        random_pairs,
        random_search,
    )

    baselines = {HYPERBAND: hyperband, RANDOM: random_search, PAIRS: random_pairs}
    return follow(job, baselines.get(job["method"]))


def race_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Return the races on a dataset by name."""
    seeds, settings = PRESETS[preset]
    return {
        f"race_seed{seed}": {
            "method": RACE,
            "settings": settings | {"dataset": dataset, "seed": seed, "method": "race"},
        }
        for seed in seeds
    }


def expected_jobs(dataset: str, preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name; baselines get the race's time, 0 if it is unknown."""
    path = results_file(f"resbuilder/race_anytime_{dataset}", preset, running)
    results = stored(path) if path.is_file() else []
    races = {r["job"]["settings"]["seed"]: r for r in results if r["job"]["method"] == RACE}
    jobs = race_jobs(dataset, preset)
    return jobs | {
        name.replace("race", method.replace(" ", "_").lower()): {
            "method": method,
            "seconds": round(races.get(job["settings"]["seed"], {"seconds": 0})["seconds"]),
            "settings": job["settings"],
        }
        for method in METHODS[1:]
        for name, job in jobs.items()
    }


EXPERIMENTS = tuple(
    Experiment(
        jobs={
            f"resbuilder/race_anytime_{dataset}": partial(expected_jobs, dataset, running=Running())
        },
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "laptop": "an hour on one core",
            "workstation": "3 hours on one core",
        },
        arguments=dataset,
    )
    for dataset in DATASETS
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(DATASETS))
@standard_options("resbuilder", *PRESETS, seeds=SEEDS)
def main(dataset: str, preset: str, running: Running) -> None:
    """Measure the races, then the baselines with the same time, and publish."""
    name, chosen = f"resbuilder/race_anytime_{dataset}", PRESETS[preset][0][: running.seeds]
    for method in METHODS:  # The baselines get the time that the race took.
        jobs = expected_jobs(dataset, preset, running)
        only = [n for n, j in jobs.items() if j["settings"]["seed"] in chosen]
        only = [n for n in only if jobs[n]["method"] in METHODS[: METHODS.index(method) + 1]]
        path = measure(name, work, jobs, preset, running, only=only)
    publish_from(path)


if __name__ == "__main__":
    main()
