"""Beyond the thesis: accuracy over time, ResBuilder beside KerasTuner's Hyperband.

::

    python -m experiments.resbuilder.hyperband --preset laptop

The space is that of a search: blocks where it inserts them, from its two starts, with inner widths
of a quarter to twice the stage's, and one factor on all widths that fills the budget of FLOPs.
Hyperband trains with the same data, augmentation, optimizer and loss, at most as many epochs as
weights of a search may have behind them: one with those that they have where channels inherit
theirs, one with those that they have otherwise. Time is processor time on one core; what Hyperband
spends on test images, which the search evaluates after every training, is not counted.

A method has at a time what it would give if it were stopped then: the network that is best on
validation images so far, told by its accuracy on test images.
"""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, measure, publish, standard_options, stored
from experiments.resbuilder.columns import trainings
from experiments.resbuilder.studies.budget import INHERIT, SHARE
from experiments.resbuilder.studies.study import SIZES, most_trainings
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, styled
from resbuilder.variants import WITH_REG

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Trainings of a network at most, from the settings.
HYPERBANDS = {
    "Hyperband": most_trainings,
    "Hyperband, fewer epochs": lambda settings: settings["insertions"] + 2,
}
SEARCHES = {
    "thesis": {},
    "inherit": INHERIT,
    "share 0.2, inherit": SHARE | INHERIT,
    "thesis, from ResNet-18": {"start": "rb-r18"},
}
METHODS = (*SEARCHES, *HYPERBANDS)
# Seeds, processor seconds of Hyperband; the settings are those of the studies.
PRESETS = {"quick": (1, 40), "laptop": (2, 300)}


def hyperband_jobs(preset: str) -> dict[str, dict]:
    """Settings of the jobs, by name."""
    seeds, seconds = PRESETS[preset]
    size, jobs = SIZES[preset], {}
    for seed in range(seeds):
        for method, options in SEARCHES.items():
            settings = size | {"seed": seed} | options
            jobs[f"{method}, seed {seed}"] = {"method": method, "settings": settings}
        for method, most in HYPERBANDS.items():
            jobs[f"{method}, seed {seed}"] = {
                "method": method,
                "seconds": seconds,
                "epochs": size["epochs"] * most(size),
                "settings": size | {"seed": seed},
            }
    return jobs


def follow(job: dict, searches: Path) -> dict:
    """Runs a method.

    Returns:
        ``networks``: of each that it trained within the budget the processor ``seconds`` since the
        beginning, accuracies on ``validation`` and ``test`` images; ``seconds`` in all.
    """
    from rich.console import Console

    from experiments.resbuilder.hyperband_peer import hyperband
    from resbuilder import SearchConfig, search
    from resbuilder.progress import SearchProgress
    from resbuilder.report import read_history
    from resbuilder.run import TrainingEvent

    class Clock(SearchProgress):
        """Notes the processor time after each training."""

        def trained(self, *outcome) -> None:
            super().trained(*outcome)
            times.append(time.process_time())

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    if job["method"] in HYPERBANDS:
        return hyperband(job, config)
    began, times = time.process_time(), []
    progress = Clock(trainings(config.rounds, config.insertions), Console(file=io.StringIO()))
    path = searches / f"{job['method'].replace('.', '_')}_seed{config.seed}"
    # Anew, if it was interrupted: its time is that of one process.
    search(config, path, overwrite=True, progress=progress)
    history = read_history(path)
    events = history.of(TrainingEvent)
    networks = [
        {
            "seconds": now - began,
            "validation": event.validation.accuracy,
            "test": event.test.accuracy,
        }
        for now, event in zip(times, events, strict=True)
        if event.variant != WITH_REG and history.within_budget(history.records[event.index])
    ]
    return {"networks": networks, "seconds": time.process_time() - began}


def best_so_far(result: dict, times: np.ndarray) -> np.ndarray:
    """Test accuracy at each time of the network that is best on validation images; NaN before."""
    accuracy, best = np.full(len(times), np.nan), -1.0
    for network in result["networks"]:
        if network["validation"] > best:
            best = network["validation"]
            accuracy[times >= network["seconds"]] = network["test"]
    return accuracy


def curves(results: list[dict]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times up to the end of Hyperband, and accuracies (seeds, times) of each method."""
    end = next(r["job"]["seconds"] for r in results if r["job"]["method"] in HYPERBANDS)
    times = np.linspace(0, end, 301)
    grouped = {m: [r for r in results if r["job"]["method"] == m] for m in METHODS}
    return times, {m: np.stack([best_so_far(r, times) for r in g]) for m, g in grouped.items()}


def markdown(results: list[dict]) -> str:
    """At some times what each method has, and how long each is ahead of Hyperband."""
    from resbuilder.report.style import si

    times, found = curves(results)
    late = times >= times[-1] / 10
    shown = [round(share * (len(times) - 1)) for share in (0.1, 0.25, 0.5, 0.75, 1)]
    heads = " | ".join(f"{times[i]:.0f} s" for i in shown)
    lines = [
        f"| test accuracy, % | {heads} | {' | '.join(f'above {peer}' for peer in HYPERBANDS)} |",
        "|---" * (1 + len(shown) + len(HYPERBANDS)) + "|",
    ]
    for method, accuracy in found.items():
        cells = [_cell(accuracy[:, i]) for i in shown]
        for peer in HYPERBANDS:
            theirs, own = (np.nan_to_num(a).mean(0)[late] for a in (found[peer], accuracy))
            cells.append("–" if method in HYPERBANDS else f"{(own > theirs).mean():.0%}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    s = results[0]["job"]["settings"]
    return (
        "\n".join(lines) + f"\n\n{s['dataset']}, {s['train_limit']:,} images, ζ = {si(s['flops'])}"
        f"FLOPs; processor seconds on one core; mean ± standard deviation over {len(accuracy)} "
        "seed(s) of the network that is best on validation images so far; above: share of the time "
        "after the first tenth.\n"
    )


def _cell(accuracies: np.ndarray) -> str:
    from experiments.phs.summary import spread

    return "nothing yet" if np.isnan(accuracies).any() else spread(list(accuracies))


def draw(results: list[dict]) -> Figure:
    """Test accuracy over time: mean, and every seed."""
    from resbuilder.report.style import new_figure, percent_axis

    times, found = curves(results)
    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        colors = (BLUE, PURPLE, ORANGE, GREEN, GREY, RED)
        for (method, accuracy), color in zip(found.items(), colors, strict=True):
            axes.plot(times, accuracy.T, color=color, alpha=0.35, linewidth=0.8)
            # Only where all seeds have something.
            axes.plot(times, accuracy.mean(axis=0), color=color, linewidth=2, label=method)
        axes.axvline(times[-1] / 10, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("processor seconds (dotted: a tenth of the time)")
        axes.set_title("Test accuracy of the network that is best on validation images so far")
        percent_axis(axes.yaxis)
        lowest = np.nanmin([a[:, times >= times[-1] / 10] for a in found.values()])
        axes.set_ylim(bottom=lowest - 0.02)
        axes.legend(loc="lower right")
    return figure


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


EXPERIMENTS = (
    Experiment(
        jobs={"resbuilder/hyperband": hyperband_jobs},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "laptop": "45 minutes of one core"},
    ),
)


@click.command(cls=Command, help="ResBuilder beside KerasTuner's Hyperband: accuracy over time.")
@standard_options("resbuilder", *PRESETS, seeds={name: n for name, (n, _) in PRESETS.items()})
def main(preset: str, running: Running) -> None:
    name = "resbuilder/hyperband"
    work = partial(follow, searches=running.folder(name, preset) / "searches")
    publish_from(measure(name, work, hyperband_jobs(preset), preset, running))


if __name__ == "__main__":
    main()
