"""The trainings behind figs. 5.4 and 5.5: MorphNet's rounds to one budget from different starts.

A round trains with MorphNet's term from random initialisation, keeps the channels that are alive
and scales their numbers to the budget. ``experiments.morphnet.bad_start`` and
``experiments.morphnet.suggested_widths`` read the same trainings: whichever comes first measures
them.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from experiments.command import measure, stored
from experiments.morphnet.network import WIDTHS, expanded, flops
from experiments.morphnet.training import train

STARTS = {"large": WIDTHS, "small": (4, 4), "unbalanced": (64, 8)}
# As many FLOPs as half the thesis' widths: 1,325,824 for one image.
BUDGET = flops((16, 32))
# Training images with those that validate (None: all), batch size, epochs of a round, rounds, λ,
# seeds. In a short trial 1e-6 left 16 and 32 channels alone, and 3e-6 left none of the first 32 of
# the thesis' network in the first round.
PRESETS = {"quick": (3_000, 16, 1, 4, 1e-5, 1), "thesis": (None, 128, 1, 20, 2e-6, 3)}


def rounds_from(job: dict) -> dict:
    """Rounds of training with the term, removing, and scaling to the budget.

    Args:
        job: As :func:`experiments.morphnet.training.train`, with ``widths`` of the start,
            ``rounds``, ``epochs`` of each, ``strength`` λ and ``budget`` in FLOPs.

    Returns:
        ``rounds``: the trainings, fewer where a layer has no channel left; ``widths``: before each
        of them, and what the last one suggests.
    """
    widths, rounds = tuple(job["widths"]), []
    suggested = [widths]
    for number in range(job["rounds"]):
        # Widths that stay must stay for other random numbers, too.
        drawn = job | {"seed": 100 * job["seed"] + number}
        rounds.append(train(drawn, widths, job["epochs"], job["strength"]))
        if not all(rounds[-1]["alive"]):
            break
        widths = expanded(rounds[-1]["alive"], job["budget"])
        suggested.append(widths)
    return {"rounds": rounds, "widths": suggested}


def start_jobs(preset: str) -> dict[str, dict]:
    """Settings of the jobs, by name."""
    limit, batch_size, epochs, rounds, strength, seeds = PRESETS[preset]
    return {
        f"{name}_seed{seed}": {
            "dataset": "mnist",
            "limit": limit,
            "batch_size": batch_size,
            "epochs": epochs,
            "rounds": rounds,
            "strength": strength,
            "budget": BUDGET,
            "start": name,
            "widths": widths,
            "seed": seed,
        }
        for seed in range(seeds)
        for name, widths in STARTS.items()
    }


def measure_starts(preset, workers, data_dir, out) -> Path:
    """Trains what is missing; returns the file of results."""
    jobs = start_jobs(preset)
    path = measure("morphnet/starts", rounds_from, jobs, preset, workers, data_dir, out)
    click.echo(f"Trainings: {path}")
    return path


def by_start(path: Path) -> dict[str, list[dict]]:
    """The jobs of all seeds, by the name of their start."""
    results = stored(path)
    return {name: [r for r in results if r["job"]["start"] == name] for name in STARTS}


def balance(results: list[dict]) -> np.ndarray:
    """log₂ of second over first width, shape (seeds, rounds + 1); NaN after a break-down.

    At one budget the two widths lie on a curve, so that this number says both.
    """
    rounds = results[0]["job"]["rounds"]
    logs = np.full((len(results), rounds + 1), np.nan)
    for row, result in zip(logs, results, strict=True):
        first, second = np.array(result["widths"]).T
        row[: len(first)] = np.log2(second / first)
    return logs
