"""Beyond the thesis: accuracy over time, a race beside Hyperband over the same space.

::

    python -m experiments.resbuilder.race_anytime --preset laptop

KerasTuner's Hyperband chooses among the race's candidates and has the race's options: the same
batches, optimizer, smoothed labels and averaged weights, at a constant rate, and networks that go
on keep weights and optimizer state. A network has at most 0.6·T epochs, about as many as the race's
winner. It goes on until it has had the processor time of the race.

The winner's cooldown counts from the epoch in which it overtakes what was best before. The time
that test images take is not counted.
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
    """Return what each method has at some times, and how far the race is ever behind."""
    from resbuilder.report.style import si

    times, found = curves(results)
    s = results[0]["job"]["settings"]
    text = (
        f"{anytime.markdown(times, found)}\n{s['dataset']}, ζ = {si(s['flops'])}FLOPs, "
        f"T = {s['total_epochs']} epochs; processor seconds on one core; mean ± standard deviation "
        "over seeds.\n"
    )
    if len(found) == 2:
        gained = anytime.ahead(times, *(found[method] for method in METHODS))
        text += (
            f"After the first tenth of the time the race is above Hyperband for "
            f"{(gained > 0).mean():.0%} of it, and at worst {100 * gained.min():+.2f} points away."
            "\n"
        )
    return text


def publish_from(path: Path) -> None:
    """Write table and figure beside a file of results."""
    results = stored(path)
    publish(path, anytime.draw(*curves(results)), markdown(results))


def work(job: dict) -> dict:
    """Do a job: follow one of the methods."""
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
    """Return all jobs of a preset by name; Hyperband has the time that the race took, 0 if none."""
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
    name, chosen = "resbuilder/race_anytime", PRESETS[preset][0][: running.seeds]
    for method in METHODS:  # Hyperband has the time that the race has taken
        jobs = expected_jobs(preset, running)
        only = [n for n, j in jobs.items() if j["settings"]["seed"] in chosen]
        only = [n for n in only if jobs[n]["method"] in METHODS[: METHODS.index(method) + 1]]
        path = measure(name, work, jobs, preset, running, only=only)
    publish_from(path)


if __name__ == "__main__":
    main()
