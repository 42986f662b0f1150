"""Beyond the thesis: accuracy over time, ResBuilder beside KerasTuner's Hyperband.

::

    python -m experiments.resbuilder.hyperband --preset laptop

The space is that of a search: blocks where it inserts them, from its two starts, with inner widths
of a quarter to twice the stage's, and one factor on all widths that fills the budget of FLOPs.
Hyperband trains with the same data, augmentation, optimizer and loss, at most as many epochs as
weights of a search may have behind them: one with those that they have where channels inherit
theirs, one with those that they have otherwise. Time is processor time on one core; what Hyperband
spends on test images, which the search evaluates after every training, is not counted.
"""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, measure, publish, standard_options, stored
from experiments.resbuilder import anytime
from experiments.resbuilder.columns import trainings
from experiments.resbuilder.studies.budget import INHERIT, SHARE
from experiments.resbuilder.studies.study import SIZES, most_trainings
from resbuilder.common.cli import Command
from resbuilder.variants import WITH_REG

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
    """Run a method.

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
        """Note the processor time after each training."""

        def trained(self, *outcome) -> None:
            super().trained(*outcome)
            times.append(time.process_time())

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    if job["method"] in HYPERBANDS:
        return hyperband(job, config)
    began, times = time.process_time(), []
    progress = Clock(trainings(config.rounds, config.insertions), Console(file=io.StringIO()))
    path = searches / f"{job['method'].replace('.', '_')}_seed{config.seed}"
    # From the beginning if it was interrupted: its time is that of one process.
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


def curves(results: list[dict]) -> tuple[np.ndarray, anytime.Curves]:
    """Return times up to the end of Hyperband, and accuracies (seeds, times) of each method."""
    end = next(r["job"]["seconds"] for r in results if r["job"]["method"] in HYPERBANDS)
    return anytime.curves(results, METHODS, end)


def markdown(results: list[dict]) -> str:
    """Return what each method has at some times, and how long each is ahead of Hyperband."""
    from resbuilder.report.style import si

    times, found = curves(results)

    def above(method: str, peer: str) -> str:
        if method in HYPERBANDS:
            return "–"
        return f"{(anytime.ahead(times, found[method], found[peer]) > 0).mean():.0%}"

    more = {f"above {peer}": [above(method, peer) for method in found] for peer in HYPERBANDS}
    seeds, s = len(found[METHODS[0]]), results[0]["job"]["settings"]
    return (
        f"{anytime.markdown(times, found, more)}\n{s['dataset']}, {s['train_limit']:,} images, "
        f"ζ = {si(s['flops'])}FLOPs; processor seconds on one core; mean ± standard deviation over "
        f"{seeds} seed(s) of the network that is best on validation images so far; above: share of "
        "the time after the first tenth.\n"
    )


def publish_from(path: Path) -> None:
    """Write table and figure beside a file of results."""
    results = stored(path)
    publish(path, anytime.draw(*curves(results)), markdown(results))


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
