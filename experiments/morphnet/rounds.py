"""The trainings behind figs. 5.1 to 5.3: one and two rounds of MorphNet over λ, and plain scaling.

A round trains with MorphNet's term and keeps the channels that are alive; the network that is left
is trained anew without the term. The second round starts from the first one's widths, scaled to
the FLOPs of the start. Beside it, the start with all widths scaled alike is trained plainly.

``experiments.morphnet.pareto`` and ``experiments.morphnet.two_rounds`` read the same trainings:
whichever comes first measures them.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import numpy as np

from experiments.command import measure, stored
from experiments.morphnet.network import WIDTHS, expanded, flops
from experiments.morphnet.training import train

# Denser where a short trial left a part of the channels: 26 of the first 32 at 3e-7, 7 at 1e-6.
STRENGTHS = (1e-9, 1e-8, 1e-7, 3e-7, 6e-7, 1e-6, 2e-6, 4e-6, 9e-6)
SCALED = ((1, 1), (2, 4), (4, 8), (8, 16), (12, 24), (16, 32), (24, 48), WIDTHS)
# Training images with those that validate (None: all), batch size, epochs of every training, λ,
# widths of the scaled networks, seeds. Channels die by steps: few images come in small batches.
PRESETS = {
    "quick": (3_000, 16, 2, (1e-6, 3e-6), ((1, 1), (8, 16), WIDTHS), 1),
    "thesis": (None, 128, 2, STRENGTHS, SCALED, 3),
}


def two_rounds(job: dict) -> dict:
    """MorphNet's rounds from the thesis' widths.

    Args:
        job: As :func:`experiments.morphnet.training.train`, with ``epochs`` and ``strength``.

    Returns:
        ``rounds``, one or two: ``with_term`` is the training that chose the widths, ``anew`` the
        one of the network that is left. It is None, and the last round, where a layer has no
        channel left, or where the start is left, which is trained plainly anyway.
    """
    widths, rounds = WIDTHS, []
    for _ in range(2):
        with_term = train(job, widths, job["epochs"], job["strength"])
        left = with_term["alive"]
        ends = not all(left) or left == WIDTHS
        anew = None if ends else train(job, left, job["epochs"])
        rounds.append({"with_term": with_term, "anew": anew})
        if ends:
            break
        widths = expanded(left, flops(WIDTHS))
    return {"rounds": rounds}


def scaled(job: dict) -> dict:
    """A plain training of the network with the ``widths`` of the job."""
    return train(job, job["widths"], job["epochs"])


def work(job: dict) -> dict:
    """One job of the grid, of either kind."""
    return scaled(job) if "widths" in job else two_rounds(job)


def round_jobs(preset: str) -> dict[str, dict]:
    """Settings of the jobs, by name."""
    limit, batch_size, epochs, strengths, widths, seeds = PRESETS[preset]
    jobs = {}
    for seed in range(seeds):
        common = {
            "dataset": "mnist",
            "limit": limit,
            "batch_size": batch_size,
            "epochs": epochs,
            "seed": seed,
        }
        for strength in strengths:
            jobs[f"lambda{strength:g}_seed{seed}"] = common | {"strength": strength}
        for first, second in widths:
            jobs[f"widths{first}-{second}_seed{seed}"] = common | {"widths": (first, second)}
    return jobs


def measure_rounds(preset, workers, data_dir, out) -> Path:
    """Trains what is missing; returns the file of results."""
    jobs = round_jobs(preset)
    path = measure("morphnet/rounds", work, jobs, preset, workers, data_dir, out)
    click.echo(f"Trainings: {path}")
    return path


class Rounds:
    """The results, sorted.

    Args:
        path: What :func:`measure_rounds` returned.

    Attributes:
        runs: The jobs with a λ, as they are stored.
        scaled: The trainings of scaled networks by FLOPs, from small to large.
    """

    def __init__(self, path: Path):
        results = stored(path)
        self.runs = [r for r in results if "rounds" in r]
        groups = defaultdict(list)
        for result in results:
            if "rounds" not in result:
                groups[result["flops"]].append(result)
        self.scaled = dict(sorted(groups.items()))

    def by_strength(self) -> dict[float, list[dict]]:
        """The runs of all seeds by λ, from small to large."""
        groups = defaultdict(list)
        for run in self.runs:
            groups[run["job"]["strength"]].append(run)
        return dict(sorted(groups.items()))

    def networks(self, number: int) -> list[dict]:
        """What round 1 or 2 left and was trained anew, each with its ``job``."""
        return [
            run["rounds"][number - 1]["anew"] | {"job": run["job"]}
            for run in self.runs
            if len(run["rounds"]) >= number and run["rounds"][number - 1]["anew"]
        ]

    def gain(self, network: dict) -> float:
        """Test accuracy above that of widths scaled alike at the same FLOPs.

        Between the scaled networks that were trained, the mean over seeds of their accuracy is
        interpolated linearly in log FLOPs; beyond them the gain is NaN.
        """
        accuracy = [np.mean([r["test"] for r in group]) for group in self.scaled.values()]
        costs = np.log(list(self.scaled))
        at = np.interp(np.log(network["flops"]), costs, accuracy, left=np.nan, right=np.nan)
        return network["test"] - float(at)


def pareto_front(networks: list[dict]) -> list[dict]:
    """Those that no network of at most their FLOPs matches in validation accuracy, by FLOPs."""
    front: list[dict] = []
    for network in sorted(networks, key=lambda n: (n["flops"], -n["validation"])):
        if not front or network["validation"] > front[-1]["validation"]:
            front.append(network)
    return front
