"""Beyond the thesis: accuracy over time, a race beside Hyperband over the same space.

::

    python -m experiments.resbuilder.race_anytime --preset laptop

KerasTuner's Hyperband chooses among the race's candidates and has the race's options: the same
batches, optimizer, smoothed labels and averaged weights, at a constant rate, and networks that go
on keep weights and optimizer state. A network has at most 0.6·T epochs, about as many as the race's
winner. It goes on until it has had the processor time of the race.

A method has at a time what it would give if it were stopped then: the network that is best on
validation images so far, told by its accuracy on test images. The winner's cooldown counts from the
epoch in which it overtakes what was best before. The time that test images take is not counted.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from experiments.phs.summary import spread
from experiments.resbuilder.race import PRESETS, SEEDS
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GREY, ORANGE, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RACE, HYPERBAND = METHODS = ("race", "Hyperband")
DATASET = "cifar10"


def best_so_far(result: dict, times: np.ndarray) -> np.ndarray:
    """Return the test accuracy at each time of what is best on validation images; NaN before."""
    accuracy, best = np.full(len(times), np.nan), -1.0
    for network in result["networks"]:
        if network["validation"] > best:
            best = network["validation"]
            accuracy[times >= network["seconds"]] = network["test"]
    return accuracy


def curves(results: list[dict]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times up to the end of the shortest race, and accuracies (seeds, times)."""
    end = min(r["seconds"] for r in results if r["job"]["method"] == RACE)
    times = np.linspace(0, end, 301)
    grouped = {m: [r for r in results if r["job"]["method"] == m] for m in METHODS}
    return times, {
        m: np.stack([best_so_far(r, times) for r in group]) for m, group in grouped.items() if group
    }


def markdown(results: list[dict]) -> str:
    """What each method has at some times, and how far the race is ever behind."""
    times, found = curves(results)
    shown = [round(share * (len(times) - 1)) for share in (0.1, 0.25, 0.5, 0.75, 1)]
    lines = [
        f"| test accuracy, % | {' | '.join(f'{times[i]:.0f} s' for i in shown)} |",
        "|---" * (1 + len(shown)) + "|",
    ]
    for method, accuracy in found.items():
        columns = (accuracy[:, i] for i in shown)
        cells = ["nothing yet" if np.isnan(c).any() else spread(list(c)) for c in columns]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    from resbuilder.report.style import si

    s = results[0]["job"]["settings"]
    text = "\n".join(lines) + (
        f"\n\n{s['dataset']}, ζ = {si(s['flops'])}FLOPs, T = {s['total_epochs']} epochs; processor "
        "seconds on one core; mean ± standard deviation over seeds.\n"
    )
    if len(found) == 2:
        late = times >= times[-1] / 10
        ours, theirs = (np.nan_to_num(found[m]).mean(0)[late] for m in METHODS)
        text += (
            f"After the first tenth of the time the race is above Hyperband for "
            f"{(ours > theirs).mean():.0%} of it, and at worst {100 * (ours - theirs).min():+.2f} "
            "points away.\n"
        )
    return text


def draw(results: list[dict]) -> Figure:
    """Test accuracy over time: mean, and every seed."""
    from resbuilder.report.style import new_figure, percent_axis

    times, found = curves(results)
    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        for (method, accuracy), color in zip(found.items(), (BLUE, ORANGE), strict=False):
            axes.plot(times, accuracy.T, color=color, alpha=0.35, linewidth=0.8)
            axes.plot(times, accuracy.mean(axis=0), color=color, linewidth=2, label=method)
        axes.axvline(times[-1] / 10, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("processor seconds (dotted: a tenth of the time)")
        axes.set_title("Test accuracy of the network that is best on validation images so far")
        percent_axis(axes.yaxis)
        axes.legend(loc="lower right")
    return figure


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


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
