"""Tables 3.1 and 3.2: the rows, and the command that measures them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.summary import accuracies, signed, spread
from experiments.phs.trainings import KNOWN_ROW, with_and_without_braking

# Around the known row: twice and half its long-run step α/(mγ), and a tenth of its memory 1/(αγ).
DYNAMICS = (
    KNOWN_ROW,
    KNOWN_ROW | {"mass": 5e-4},
    KNOWN_ROW | {"mass": 2e-3},
    KNOWN_ROW | {"mass": 1e-4, "friction": 100.0},
    KNOWN_ROW | {"mass": 2e-4, "friction": 100.0},
)
FACTORS = (10.0, 100.0)
# Training images (None: all), epochs, seeds, dynamics.
PRESETS = {"quick": (20_000, 8, 2, DYNAMICS[:1]), "thesis": (None, 8, 3, DYNAMICS)}
MEANINGS = ("final", "by_validation", "best")


def table_jobs(dataset: str, targets: tuple[float, ...], preset: str) -> dict[str, dict]:
    """Settings of all trainings of a table, by name; one job does four rows of a seed."""
    limit, epochs, seeds, dynamics = PRESETS[preset]
    return {
        f"a{row['learning_rate']:g}_m{row['mass']:g}_g{row['friction']:g}_seed{seed}": row
        | {
            "dataset": dataset,
            "limit": limit,
            "seed": seed,
            "batch_size": 4,
            "epochs": epochs,
            "brakes": list(itertools.product(targets, FACTORS)),
        }
        for seed, row in itertools.product(range(seeds), dynamics)
    }


def table_command(dataset: str, number: str, targets: tuple[float, ...]) -> Callable:
    """The command of a table's script.

    Args:
        dataset: Name of the dataset.
        number: The thesis' number of the table.
        targets: Shares of reduction of the loss at which to brake.
    """

    @click.command(help=f"Measure the rows of Table {number} ({dataset}).")
    @standard_options()
    def main(preset, workers, data_dir, out):
        jobs = table_jobs(dataset, targets, preset)
        name = f"phs/{dataset}"
        publish_from(measure(name, with_and_without_braking, jobs, preset, workers, data_dir, out))

    return main


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    rows = table_rows(stored(path))
    publish(path, figures.table_figure(rows), markdown(rows))


def table_rows(jobs: list[dict]) -> list[dict]:
    """One dict for each row: its settings, and accuracies without and with braking by seed.

    Args:
        jobs: What :func:`experiments.command.stored` returns.

    Returns:
        ``learning_rate``, ``mass``, ``friction``, ``target``, ``factor``, ``epoch`` (of braking,
        by seed, None where the goal was not reached), and ``without`` and ``with``: test
        accuracies by meaning (``final``, ``by_validation``, ``best``) and seed.
    """
    rows: dict[tuple, dict] = {}
    for entry in jobs:
        job = entry["job"]
        for braked in entry["braked"]:
            settings = {k: job[k] for k in KNOWN_ROW} | {k: braked[k] for k in ("target", "factor")}
            row = rows.setdefault(
                tuple(settings.values()),
                settings
                | {
                    "epoch": [],
                    "without": {m: [] for m in MEANINGS},
                    "with": {m: [] for m in MEANINGS},
                },
            )
            row["epoch"].append(braked["epoch"])
            for which, history in (("without", entry["unbraked"]), ("with", braked["history"])):
                for meaning, value in accuracies(history).items():
                    row[which][meaning].append(value)
    return list(rows.values())


def markdown(rows: list[dict]) -> str:
    """The table: test accuracy in per cent, mean ± standard deviation over seeds."""
    lines = [
        "| | α | m | γ | brake at reduction | factor | brakes in epoch | without | with | gain |"
        " with, by validation | gain by validation |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(rows, start=1):
        reached = [epoch for epoch in row["epoch"] if epoch is not None]
        when = (
            f"{np.mean(reached):.1f}"
            if len(reached) == len(row["epoch"])
            else (f"{len(reached)} of {len(row['epoch'])} seeds")
        )
        gains = {
            meaning: signed(np.subtract(row["with"][meaning], row["without"][meaning]))
            for meaning in MEANINGS
        }
        lines.append(
            f"| {number} | {row['learning_rate']:g} | {row['mass']:g} | {row['friction']:g} "
            f"| {row['target']:g} | {row['factor']:g} | {when} "
            f"| {spread(row['without']['final'])} | {spread(row['with']['final'])} "
            f"| {gains['final']} | {spread(row['with']['by_validation'])} "
            f"| {gains['by_validation']} |"
        )
    return "\n".join(lines) + "\n"
