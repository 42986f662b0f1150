"""Beyond the thesis: accuracy over time of ResBuilder and KerasTuner's Hyperband.

::

    python -m experiments.resbuilder.hyperband --preset laptop

Both choose from the same space: either of the two starts, blocks where a search inserts them, inner
widths of a quarter to twice the stage's, and one factor on all widths that fills the FLOPs budget.
Hyperband trains with the same data, augmentation, optimizer and loss. Its limit on the epochs of a
network is the most that the weights of a search can have: in one variant with inherited channels,
in the other without. Time is processor time on one core. The time that Hyperband spends on test
images is not counted, because the search evaluates them after every training.
"""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.resbuilder import anytime
from experiments.resbuilder.columns import trainings
from experiments.resbuilder.studies.budget import INHERIT, SHARE
from experiments.resbuilder.studies.study import SIZES, most_trainings
from resbuilder.common.cli import Command
from resbuilder.common.words import count
from resbuilder.variants import WITH_REG

# The most trainings of a network, from the settings.
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
# Names in table and figure.
TITLES = {m: f"ResBuilder, {m}" for m in SEARCHES} | {m: m for m in HYPERBANDS}
# Seeds, processor seconds of Hyperband; the settings are those of the studies.
PRESETS = {"quick": (1, 40), "laptop": (2, 300)}


def hyperband_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the jobs by name."""
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
        ``networks``: for each network that it trained within the budget, the processor ``seconds``
        since the start and the accuracies on ``validation`` and ``test`` images; ``seconds``: the
        total.
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
    # An interrupted search starts again, because its time is that of one process.
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
    """Return times up to the end of Hyperband, and accuracies (seeds, times) of each method.

    Without Hyperband's results, the end is that of the longest search.
    """
    ends = [r["job"]["seconds"] for r in results if r["job"]["method"] in HYPERBANDS]
    end = ends[0] if ends else max(r["seconds"] for r in results)
    return anytime.curves(results, METHODS, end)


def markdown(results: list[dict]) -> str:
    """Return the table of accuracies at some times, and how long each is ahead of Hyperband."""
    from resbuilder.report.style import si

    times, found = curves(results)

    def above(method: str, peer: str) -> str:
        if method in HYPERBANDS:
            return "–"
        return f"{(anytime.ahead(times, found[method], found[peer]) > 0).mean():.0%}"

    peers = [peer for peer in HYPERBANDS if peer in found]
    more = {f"time above {peer}": [above(method, peer) for method in found] for peer in peers}
    seeds, s = max(map(len, found.values())), results[0]["job"]["settings"]
    return (
        f"{anytime.markdown(times, titled(found), more)}\n{s['dataset']}, {s['train_limit']:,} "
        f"images, ζ = {si(s['flops'])}FLOPs. Times are processor seconds on one core. Accuracies "
        "are those of the best network so far on validation images, mean ± standard deviation over "
        f"{count(seeds, 'seed')}. “Time above” is the share of the time after the first tenth in "
        "which the mean is above that of Hyperband.\n"
    )


def titled(found: anytime.Curves) -> anytime.Curves:
    """Return the curves by title of the method."""
    return {TITLES[method]: accuracy for method, accuracy in found.items()}


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    times, found = curves(results)
    publish(path, anytime.draw(times, titled(found)), markdown(results))


EXPERIMENTS = (
    Experiment(
        jobs={"resbuilder/hyperband": hyperband_jobs},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "laptop": "45 minutes on one core"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("resbuilder", *PRESETS, seeds={name: n for name, (n, _) in PRESETS.items()})
def main(preset: str, running: Running) -> None:
    """Run the missing measurements, and write the table and the figure."""
    name = "resbuilder/hyperband"
    work = partial(follow, searches=running.searches(name, preset))
    publish_from(measure(name, work, hyperband_jobs(preset), preset, running))


if __name__ == "__main__":
    main()
