"""Beyond the thesis: accuracy over time of a race and of Hyperband over the same space.

::

    python -m experiments.resbuilder.race_anytime --preset laptop

KerasTuner's Hyperband chooses among the race's candidates with the race's options: the same
batches, optimizer, smoothed labels and averaged weights, at a constant learning rate. Networks that
are promoted keep their weights and optimizer state. A network gets at most 0.6·T epochs, about as
many as the winner of the race. Hyperband runs for the processor time of the race.

The winner's cooldown counts from the epoch in which it overtakes the best network before. The time
for test images is not counted.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import (
    Running,
    measure,
    publish,
    results_file,
    standard_options,
    stored,
)
from experiments.resbuilder import anytime
from experiments.resbuilder.race import PRESETS, SEEDS
from resbuilder.common.cli import Command

RACE, HYPERBAND = METHODS = ("race", "Hyperband")
DATASET = "cifar10"


def curves(results: list[dict]) -> tuple[np.ndarray, anytime.Curves]:
    """Return times up to the end of the shortest race, and accuracies (seeds, times)."""
    end = min(r["seconds"] for r in results if r["job"]["method"] == RACE)
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
    if len(found) == 2:
        gained = anytime.ahead(times, *(found[method] for method in METHODS))
        text += (
            f"After the first tenth of the time, the race is above Hyperband for "
            f"{(gained > 0).mean():.0%} of the rest; its smallest lead is "
            f"{100 * gained.min():+.2f} points.\n"
        )
    return text


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    publish(path, anytime.draw(*curves(results)), markdown(results))


def work(job: dict) -> dict:
    """Do one job: follow one of the methods."""
    from experiments.resbuilder.race_followed import follow

    return follow(job, with_hyperband=job["method"] == HYPERBAND)


def race_jobs(preset: str) -> dict[str, dict]:
    """Return the races by name."""
    seeds, settings = PRESETS[preset]
    return {
        f"race_seed{seed}": {
            "method": RACE,
            "settings": settings | {"dataset": DATASET, "seed": seed, "method": "race"},
        }
        for seed in seeds
    }


def expected_jobs(preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name; Hyperband gets the time of the race, 0 if unknown."""
    path = results_file("resbuilder/race_anytime", preset, running)
    results = stored(path) if path.is_file() else []
    races = {r["job"]["settings"]["seed"]: r for r in results if r["job"]["method"] == RACE}
    jobs = race_jobs(preset)
    return jobs | {
        name.replace("race", "hyperband"): {
            "method": HYPERBAND,
            "seconds": round(races.get(job["settings"]["seed"], {"seconds": 0})["seconds"]),
            "settings": job["settings"],
        }
        for name, job in jobs.items()
    }


EXPERIMENTS = (
    Experiment(
        jobs={"resbuilder/race_anytime": partial(expected_jobs, running=Running())},
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "laptop": "40 minutes of one core (estimate)",
            "workstation": "5 hours of one core (estimate)",
        },
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("resbuilder", *PRESETS, seeds=SEEDS)
def main(preset: str, running: Running) -> None:
    """Measure the races, then Hyperband with the same time, and publish."""
    name, chosen = "resbuilder/race_anytime", PRESETS[preset][0][: running.seeds]
    for method in METHODS:  # Hyperband gets the time that the race took
        jobs = expected_jobs(preset, running)
        only = [n for n, j in jobs.items() if j["settings"]["seed"] in chosen]
        only = [n for n in only if jobs[n]["method"] in METHODS[: METHODS.index(method) + 1]]
        path = measure(name, work, jobs, preset, running, only=only)
    publish_from(path)


if __name__ == "__main__":
    main()
