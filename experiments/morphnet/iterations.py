"""The trainings for figs. 5.1 to 5.4: two iterations of MorphNet over λ, and final trainings.

An iteration trains from scratch with MorphNet's term, keeps the alive channels, and scales their
numbers to the FLOPs of the start. In the end, two networks are trained without the term: the one
that the second iteration left, and the same one scaled to the FLOPs of the start. As a baseline,
the start is trained without the term at uniformly scaled widths.

The scripts of these figures share the trainings: the first script that runs measures them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running
from experiments.measuring import measure, stored
from experiments.morphnet.network import WIDTHS, expanded, flops

#: λ of fig. 5.4.
SHOWN = 2e-8
STRENGTHS = (1e-9, SHOWN, 1e-7, 5e-7, 2e-6, 9e-6)
ITERATIONS = 2
SCALED = ((2, 4, 32), (4, 8, 64), (8, 16, 128), (16, 32, 256), WIDTHS)
# Training and validation images, batch size, epochs of every training, steps between records, λ,
# widths of the scaled networks, seeds. How many channels die depends on the number of steps, not
# on that of images.
PRESETS = {
    "quick": (3_000, 32, 2, 20, (SHOWN, 2e-6, 2e-5), ((2, 4, 32), (8, 16, 128)), 1),
    "thesis": (15_360, 32, 1, 100, STRENGTHS, SCALED, 1),
}


def iterate(job: dict) -> dict:
    """Run the iterations from the thesis' widths, and the final trainings.

    Args:
        job: As for :func:`experiments.morphnet.training.train`, with ``epochs``, ``strength`` and
            ``record_every``.

    Returns:
        ``iterations``: the trainings with the term, fewer than two if a layer loses all channels.
        ``final``: the trainings without it, ``left`` (the network that the last iteration left)
        and ``expanded`` (the same, scaled), or None after a breakdown. If no channel was lost,
        both are the same training.
    """
    from experiments.morphnet.training import train

    done: list[dict] = []

    def trained(widths, strength):
        # Every training draws its own random numbers.
        drawn = job | {"seed": 100 * job["seed"] + len(done)}
        return train(drawn, widths, job["epochs"], strength, job["record_every"])

    widths = WIDTHS
    for _ in range(ITERATIONS):
        done.append(trained(widths, job["strength"]))
        left = done[-1]["alive"]
        if not all(left):
            return {"iterations": done, "final": None}
        widths = expanded(left, flops(WIDTHS))
    final = {"expanded": trained(widths, 0.0)}
    final["left"] = final["expanded"] if widths == left else trained(left, 0.0)
    return {"iterations": done, "final": final}


def work(job: dict) -> dict:
    """Do one job of either kind."""
    from experiments.morphnet.training import train

    return train(job, job["widths"], job["epochs"]) if "widths" in job else iterate(job)


def jobs_of(preset: str) -> dict[str, dict]:
    """Return the settings of the jobs by name."""
    limit, batch_size, epochs, every, strengths, widths, seeds = PRESETS[preset]
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
            jobs[f"lambda{strength:g}_seed{seed}"] = common | {
                "strength": strength,
                "record_every": every,
            }
        for scaled in widths:
            name = "-".join(map(str, scaled))
            jobs[f"widths{name}_seed{seed}"] = common | {"widths": scaled}
    return jobs


def experiment(figure: str, publish_from: Callable[[Path], None]) -> Experiment:
    """Return what the script of a figure stores; all these scripts store the same trainings.

    Args:
        figure: Name of the script and of its page.
        publish_from: Function that writes the page.
    """
    return Experiment(
        jobs={"morphnet/iterations": jobs_of},
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "thesis": "12 minutes on one core, for all three figures",
        },
        page=f"morphnet/{figure}",
    )


def measure_iterations(preset: str, running: Running) -> Path:
    """Start the missing training runs, and return the results file."""
    path = measure("morphnet/iterations", work, jobs_of(preset), preset, running)
    click.echo(f"Trainings: {path}")
    return path


class Iterations:
    """The results, sorted.

    Args:
        path: The file that :func:`measure_iterations` returned.

    Attributes:
        runs: The stored jobs with a λ, from small λ to large.
        scaled: The trainings of scaled networks by FLOPs, from small to large.
    """

    def __init__(self, path: Path):
        results = stored(path)
        self.runs = sorted(
            (r for r in results if "iterations" in r), key=lambda r: r["job"]["strength"]
        )
        groups = defaultdict(list)
        for result in results:
            if "iterations" not in result:
                groups[result["flops"]].append(result)
        self.scaled = dict(sorted(groups.items()))

    def by_strength(self) -> dict[float, list[dict]]:
        """Return the runs of all seeds by λ, from small to large."""
        groups = defaultdict(list)
        for run in self.runs:
            groups[run["job"]["strength"]].append(run)
        return dict(groups)

    def suggested(self) -> list[dict]:
        """Return the networks that the first iterations suggest.

        Each is the result of the first training, but with ``widths`` and ``flops`` of the alive
        channels and with ``strength``. If a layer has lost all channels, nothing is suggested.
        """
        return [
            first
            | {
                "widths": first["alive"],
                "flops": flops(first["alive"]),
                "strength": run["job"]["strength"],
            }
            for run in self.runs
            if all((first := run["iterations"][0])["alive"])
        ]

    def final(self, kind: str) -> list[dict]:
        """Return the final trainings, ``"left"`` or ``"expanded"``, with their ``strength``."""
        return [
            run["final"][kind] | {"strength": run["job"]["strength"]}
            for run in self.runs
            if run["final"]
        ]


def pareto_front(networks: list[dict], cost, loss) -> list[dict]:
    """Return the Pareto-optimal networks in order of cost.

    Args:
        networks: The networks.
        cost: A function of a network, such as its FLOPs.
        loss: A function of a network; smaller is better.
    """
    front: list[dict] = []
    for network in sorted(networks, key=lambda n: (cost(n), loss(n))):
        if not front or loss(network) < loss(front[-1]):
            front.append(network)
    return front


def trajectory(run: dict) -> list[list[dict]]:
    """Return the records of a run by training, with steps counted over all trainings.

    The final training is that of the network that the last iteration left.
    """
    trainings = [*run["iterations"], *([run["final"]["left"]] if run["final"] else [])]
    before, result = 0, []
    for training in trainings:
        result.append([r | {"step": before + r["step"]} for r in training["history"]])
        before = result[-1][-1]["step"]
    return result
