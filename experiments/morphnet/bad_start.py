"""Figure 5.5: do a large, a small and an unbalanced start lead to the same widths?

::

    python -m experiments.morphnet.bad_start --preset quick
    python -m experiments.morphnet.bad_start --preset thesis

Each of twenty iterations trains with MorphNet's term from random initialization, keeps the alive
channels, and scales their numbers to the same budget. Accuracy is that of the training with the
term. The last widths are suggested but not trained. The network has batch normalization, and no
dense layer before the logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.measuring import publish, stored
from experiments.morphnet.network import WIDTHS, expanded, flops
from experiments.morphnet.what_is_left import dots
from experiments.script import script

if TYPE_CHECKING:
    import numpy as np

CHANNELS = WIDTHS[:2]
SETTING = {"normalized": True, "threshold": 1e-2}
STARTS = {"large": CHANNELS, "small": (4, 4), "unbalanced": (64, 8)}
# The FLOPs of half the thesis' widths: 1,325,824 for one image.
BUDGET = flops((16, 32))
# Training and validation images (None: all), batch size, epochs of a round, rounds, λ, seeds. In a
# short trial, 1e-6 removed none of 16 and 32 channels, and 3e-6 removed all of the first 32 of the
# thesis' network in the first round.
PRESETS = {"quick": (3_000, 16, 1, 4, 1e-5, 1), "thesis": (None, 128, 1, 20, 2e-6, 3)}


def rounds_from(job: dict) -> dict:
    """Do rounds of training with the term, removal of channels, and scaling to the budget.

    Args:
        job: As for :func:`experiments.morphnet.training.train`, with ``widths`` of the start,
            ``rounds``, ``epochs`` of each round, ``strength`` λ and ``budget`` in FLOPs.

    Returns:
        ``rounds``: the trainings, fewer if a layer loses all channels. ``widths``: the widths
        before each training, and those that the last one suggests.
    """
    from experiments.morphnet.training import train

    widths, rounds = tuple(job["widths"]), []
    suggested = [widths]
    for number in range(job["rounds"]):
        # Each round draws other random numbers: widths must not be stable by chance.
        drawn = job | {"seed": 100 * job["seed"] + number, "setting": SETTING}
        rounds.append(train(drawn, widths, job["epochs"], job["strength"]))
        if not all(rounds[-1]["alive"]):
            break
        widths = expanded(rounds[-1]["alive"], job["budget"])
        suggested.append(widths)
    return {"rounds": rounds, "widths": suggested}


def start_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the jobs by name."""
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


def by_start(path: Path) -> dict[str, list[dict]]:
    """Return the results of all seeds by name of their start."""
    results = stored(path)
    return {name: [r for r in results if r["job"]["start"] == name] for name in STARTS}


def balance(results: list[dict]) -> np.ndarray:
    """Return log₂ of second over first width, shape (seeds, rounds + 1); NaN after a breakdown.

    At a fixed budget, one width determines the other, so this number determines both.
    """
    import numpy as np

    rounds = results[0]["job"]["rounds"]
    logs = np.full((len(results), rounds + 1), np.nan)
    for row, result in zip(logs, results, strict=True):
        first, second = np.array(result["widths"]).T
        row[: len(first)] = np.log2(second / first)
    return logs


def markdown(starts: dict[str, list[dict]]) -> str:
    """Return the table of widths by seed, test accuracies, and distances between the starts."""
    from experiments.summary import percent_spread

    rounds = next(iter(starts.values()))[0]["job"]["rounds"]
    shown = sorted({n for n in (0, 1, 2, 3, 5, 10, 15) if n < rounds} | {rounds})
    lines = [
        f"| start | {' | '.join(f'after {n} iterations' for n in shown)} | test in the last, % |",
        "|" + "---|" * (len(shown) + 2),
    ]
    for name, runs in starts.items():
        cells = [
            ", ".join(dots(r["widths"][n]) if n < len(r["widths"]) else "broke down" for r in runs)
            for n in shown
        ]
        last = percent_spread([r["rounds"][-1]["test"] for r in runs])
        lines.append(f"| {name} | {' | '.join(cells)} | {last} |")
    labels = ("between starts", "between seeds")
    for label, octaves in zip(labels, distances(starts).T, strict=True):
        cells = [f"{value:.2f}" if value == value else "–" for value in octaves[shown]]
        lines.append(f"| octaves {label} | {' | '.join(cells)} | |")
    return "\n".join(lines) + "\n"


def distances(starts: dict[str, list[dict]]) -> np.ndarray:
    """Return the distance between widths, in octaves (factors of two) of second over first width.

    Returns:
        Shape (rounds + 1, 2): the largest distance between the means of two starts, and the
        standard deviation over seeds, averaged over starts (NaN with one seed). After a breakdown,
        a seed is left out.
    """
    import numpy as np

    balances = [balance(runs) for runs in starts.values()]
    result = np.full((balances[0].shape[1], 2), np.nan)
    for n, row in enumerate(result):
        groups = [b[:, n][np.isfinite(b[:, n])] for b in balances]
        means = [group.mean() for group in groups if len(group)]
        deviations = [group.std(ddof=1) for group in groups if len(group) > 1]
        if len(means) > 1:
            row[0] = max(means) - min(means)
        if deviations:
            row[1] = np.mean(deviations)
    return result


def publish_from(path: Path) -> None:
    """Write the table and the figure next to the results file."""
    from experiments.morphnet import figures

    starts = by_start(path)
    figure = figures.bad_start(starts, distances(starts))
    publish(path, figure, markdown(starts))


EXPERIMENTS, main = script(
    "morphnet/bad_start",
    rounds_from,
    start_jobs,
    publish_from,
    times={"quick": "minutes on 2 cores", "thesis": "115 minutes on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
