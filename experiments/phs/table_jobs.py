"""Tables 3.1 and 3.2: the printed rows as jobs, and the command that measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.phs.rows import (
    AFTER,
    MOST_EPOCHS,
    TABLES,
    TITLES,
    TRAINING_IMAGES,
    Row,
    epochs_to,
    rows,
    same_training,
    sgd_epochs,
)
from resbuilder.common.cli import Command

# A fast row of each dataset, which is also measured at half the batch size.
CHECKED = {"fashion_mnist": (0.1, 0.1, 10.0), "cifar10": (0.1, 0.01, 100.0)}


@dataclass(frozen=True)
class Preset:
    """How much of a table is measured, and how.

    Attributes:
        limit: Number of training images, None for all.
        after: Epochs after braking.
        seeds: Number of seeds for a fast row.
        slow_seeds: Number of seeds for the other rows.
        most: Most epochs; None for 1.25 times the expected ones, but at least 100.
        fast: A row is fast if its goal is expected within this many epochs.
    """

    limit: int | None
    after: int
    seeds: int
    slow_seeds: int
    most: int | None
    fast: int = 200


PRESETS = {
    "quick": Preset(10_000, after=2, seeds=1, slow_seeds=0, most=4),
    "thesis": Preset(None, after=AFTER, seeds=3, slow_seeds=2, most=None),
}


def job_groups(dataset: str, preset: str) -> list[dict[str, dict]]:
    """Return the jobs of a table by name, in groups; the table is published after each group.

    The fastest rows come first: all seeds of the fast rows, then the slow rows seed by seed.
    """
    chosen = PRESETS[preset]
    expected = {job_name(job): (job, epochs) for job, epochs in _jobs(dataset, chosen)}
    fast = {name for name, (_, epochs) in expected.items() if epochs <= chosen.fast}
    groups = []
    for these, seeds in ((fast, chosen.seeds), (expected.keys() - fast, chosen.slow_seeds)):
        order = sorted(these, key=lambda name: expected[name][1])
        for seed in range(seeds):
            jobs = {f"{name}_seed{seed}": expected[name][0] | {"seed": seed} for name in order}
            groups.append(jobs)
    return [group for group in groups if group]


def job_name(job: dict) -> str:
    """Return the name of a job without its seed."""
    name = f"a{job['learning_rate']:g}"
    if "mass" in job:
        name += f"_g{job['friction']:g}_m{job['mass']:g}"
    return name + ("" if job["batch_size"] == 128 else f"_batch{job['batch_size']}")


def _jobs(dataset: str, preset: Preset):
    """Yield the settings of each training without its seed, and the expected epochs to its goal."""
    for free, braked in same_training(dataset).items():
        sizes = (128, 64) if dynamics_of(free) == CHECKED[dataset] else (128,)
        for batch_size in sizes:
            yield _phs_job(free, braked, batch_size, preset)
    for row in rows(dataset):
        if row.optimizer == "SGD":
            job, epochs = _sgd_job(row, preset)
            if epochs <= MOST_EPOCHS:
                yield job, epochs


def dynamics_of(row: Row) -> tuple[float | None, float | None, float | None]:
    """Return α, γ and m."""
    return row.learning_rate, row.friction, row.mass


def _common(row: Row, batch_size: int, preset: Preset, expected: int) -> dict:
    return {
        "dataset": row.dataset,
        "limit": preset.limit,
        "batch_size": batch_size,
        "learning_rate": row.learning_rate,
        "evaluate_every": 1 if expected <= preset.fast else 5,
    }


def _steps(row: Row, batch_size: int, preset: Preset) -> int:
    """Return the number of steps in an epoch."""
    return (preset.limit or TRAINING_IMAGES[row.dataset]) // batch_size


def _phs_job(free: Row, braked: list[Row], batch_size: int, preset: Preset) -> tuple[dict, int]:
    goal, steps = min(row.goal for row in braked), _steps(free, batch_size, preset)
    expected = epochs_to(free.dataset, goal, free.long_run_step, steps)
    return _common(free, batch_size, preset, expected) | {
        "mass": free.mass,
        "friction": free.friction,
        "target_is": "loss",
        "brakes": sorted({(row.goal, row.factor) for row in braked}, reverse=True),
        "after": preset.after,
        "epochs": preset.most or max(100, 5 * expected // 4) + preset.after,
    }, expected


def _sgd_job(row: Row, preset: Preset) -> tuple[dict, int]:
    expected = sgd_epochs(row, _steps(row, 128, preset))
    return _common(row, 128, preset, expected) | {
        "optimizer": "sgd",
        "schedule": "constant",
        "momentum": 0.0,
        "epochs": preset.most or expected + preset.after,
    }, expected


def work(job: dict) -> dict:
    """Do one job of a table, with or without PHS."""
    from experiments.phs.trainings import with_and_without_braking, with_other_optimizer

    return with_other_optimizer(job) if "optimizer" in job else with_and_without_braking(job)


def table_command(dataset: str) -> Callable:
    """Return the command of a table's script."""
    number = TABLES[dataset].replace("_", ".")

    @click.command(
        cls=Command, help=f"Table {number}: measure its 20 rows, LeNet on {TITLES[dataset]}."
    )
    @standard_options("phs", seeds={name: chosen.seeds for name, chosen in PRESETS.items()})
    def main(preset: str, running: Running) -> None:
        jobs = all_jobs(dataset, preset)
        chosen = running.chosen(jobs)
        for group in job_groups(dataset, preset):
            if only := [name for name in group if name in chosen]:
                publish_from(measure(f"phs/{dataset}", work, jobs, preset, running, only))

    return main


def table_experiment(dataset: str, thesis: str) -> Experiment:
    """Return what the script of a table stores.

    Args:
        dataset: ``"cifar10"`` or ``"fashion_mnist"``.
        thesis: How long the thesis preset takes.
    """
    return Experiment(
        jobs={f"phs/{dataset}": partial(all_jobs, dataset)},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": thesis},
    )


def all_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Return the jobs of all groups by name."""
    return {name: job for group in job_groups(dataset, preset) for name, job in group.items()}


def publish_from(path: Path) -> None:
    """Write the tables and the figure next to a results file."""
    from experiments.phs import figures
    from experiments.phs.summary import page
    from experiments.phs.table import COLUMNS, gains_table, measured_rows, rows_table

    measured = measured_rows(path.stem, stored(path))
    number = TABLES[path.stem].replace("_", ".")
    text = page(
        f"Table {number}: LeNet on {TITLES[path.stem]}, with and without braking",
        "Every printed row, and our trainings of it.",
        COLUMNS,
        rows_table(measured) + "\n" + gains_table(measured),
    )
    publish(path, figures.printed_rows(measured), text)
