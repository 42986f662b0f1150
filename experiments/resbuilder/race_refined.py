"""Beyond the thesis: does a race gain if its winners are refined by the thesis' moves?

::

    python -m experiments.resbuilder.race_refined --preset workstation

At ζ = 2e7 and on all images of CIFAR-10, where depth and widths matter more than at 4e6:

- **race**: `resbuilder search --method race`;
- **refined**: the same race up to the end of its trial. Then each of the two remaining candidates
  competes with two variants of itself, one with an inserted block and one with other widths
  (:mod:`experiments.resbuilder.refinement`). That takes 45 % of the epochs that are left;
- **hand-made**: ResNet-18 with each of two stems, scaled to ζ, with all epochs and a rate of 0.01,
  which is not tuned at this ζ. At ζ = 4e6, ResNet-20 is behind both.

All three cost the same number of epochs of a network that fills ζ, except that an inserted block
costs up to a fifth more until it is pruned.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.resbuilder.points import rows_of_points
from experiments.resbuilder.race_jobs import PAIRED, hand_made_job
from experiments.resbuilder.race_measured import measure_job as measure_hand_made
from experiments.resbuilder.searches import begun
from experiments.summary import percent_spread
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GRAY, ORANGE
from resbuilder.config import SearchConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RACE, REFINED = "race", "race, refined"
RATE = 1e-2
# Seeds, and settings of SearchConfig.
PRESETS = {
    "quick": ((10,), {"total_epochs": 12, "train_limit": 600, "flops": 1.5e6}),
    "workstation": ((10,), {"total_epochs": 20, "train_limit": None, "flops": 2e7}),
}


def jobs_of(preset: str) -> dict[str, dict]:
    """Return all jobs by name: the race with its refinement, then the hand-made networks."""
    seeds, settings = PRESETS[preset]
    jobs = {}
    for seed in seeds:
        own = settings | {"dataset": "cifar10", "seed": seed}
        jobs[f"race_seed{seed}"] = {"kind": RACE, "settings": own | {"method": "race"}}
        jobs |= dict(hand_made_job(n, own["total_epochs"], RATE, own) for n in PAIRED)
    return jobs


def measure_job(job: dict, searches: Path) -> dict:
    """Do a job.

    Args:
        job: See :func:`jobs_of`, with ``data_dir``.
        searches: Folder of run folders; an interrupted race in it is resumed.

    Returns:
        For a hand-made network as in :mod:`experiments.resbuilder.race`. For a race, ``race`` and
        ``refined``, which :meth:`experiments.resbuilder.refinement.Refinement.go` describes.
    """
    if job["kind"] != RACE:
        return measure_hand_made(job, searches)
    import io
    import json

    from rich.console import Console

    from experiments.resbuilder.refinement import Refinement
    from resbuilder.common.files import write_json
    from resbuilder.pipeline.race import Race, entrants_of
    from resbuilder.progress import SearchProgress
    from resbuilder.run import Run
    from resbuilder.training import TrainingData

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    folder = searches / f"{config.dataset}_seed{config.seed}"
    done = folder / "refined.json"
    with Run.open(folder) if begun(config, folder) else Run.create(folder, config) as run:
        progress = SearchProgress(config.total_epochs, Console(file=io.StringIO()), "epoch")
        race = Race(run, data, entrants_of(run, data), progress)
        race.introduce()
        remaining = race.trial()
        if done.exists():
            refined = json.loads(done.read_text(encoding="utf-8"))
        else:
            refined = Refinement(race).go(remaining)
            write_json(done, refined)
        best = race.go().best
        if best is None:
            raise ValueError(f"{folder}: the race found no network")
        return {
            "race": {
                "validation": best.accuracy_validation,
                "test": best.accuracy_test,
                "architecture": str(race.nodes[best.index].architecture),
            },
            "refined": refined,
        }


def rows(results: list[dict]) -> dict[str, list[float]]:
    """Return the test accuracies of all seeds by row of the table."""
    table: dict[str, list[float]] = {}
    for r in sorted(results, key=lambda r: r["job"]["settings"]["seed"]):
        if r["job"]["kind"] == RACE:
            table.setdefault(RACE, []).append(r["race"]["test"])
            table.setdefault(REFINED, []).append(r["refined"]["test"])
        else:
            table.setdefault(r["job"]["network"], []).append(r["test"])
    order = (RACE, REFINED, *PAIRED)
    return {name: table[name] for name in order if name in table}


def markdown(results: list[dict]) -> str:
    """Return the table of test accuracies, and what each trunk was refined to."""
    from resbuilder.report.style import si

    s = results[0]["job"]["settings"]
    images = f"{s['train_limit']:,} training images" if s["train_limit"] else "all training images"
    seeds = sorted({r["job"]["settings"]["seed"] for r in results})
    lines = [
        f"{s['dataset']}: ζ = {si(s['flops'])}FLOPs; {images}, validation included; "
        f"{s['total_epochs']} epochs each; seeds {', '.join(map(str, seeds))}. Test accuracy in "
        "%.\n",
        "| | test accuracy |",
        "|---|---|",
        *(f"| {name} | {percent_spread(tests)} |" for name, tests in rows(results).items()),
        "\nValidation loss of averaged weights after the same number of epochs; the lowest "
        "remained:\n",
    ]
    moves = [move for r in results if r["job"]["kind"] == RACE for move in r["refined"]["moves"]]
    names = list(moves[0]["losses"]) if moves else []
    lines += [f"| candidate | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for move in moves:
        losses = [_loss(move["losses"][name]) for name in names]
        lines.append(f"| {move['label']} | {' | '.join(losses)} |")
    lines.append("")
    lines += [
        f"- {move['label']}, {name}: `{text}`"
        for move in moves
        for name, text in move["architectures"].items()
    ]
    return "\n".join(lines) + "\n"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def draw(results: list[dict]) -> Figure:
    """Draw the test accuracies, a row for each network and a point for each seed."""
    table = rows(results)
    colors = [{RACE: BLUE, REFINED: ORANGE}.get(name, GRAY) for name in table]
    return rows_of_points(table, colors, "Test accuracy (points: seeds)")


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


EXPERIMENTS = (
    Experiment(
        jobs={"resbuilder/race_refined": jobs_of},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "workstation": "4 hours on one core (estimate)"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("resbuilder", *PRESETS)
def main(preset: str, running: Running) -> None:
    """Run the missing measurements, and write the table and the figure."""
    name = "resbuilder/race_refined"
    work = partial(measure_job, searches=running.searches(name, preset))
    publish_from(measure(name, work, jobs_of(preset), preset, running))


if __name__ == "__main__":
    main()
