"""The table and the figure that compare a race with hand-made networks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from experiments.jobs import seed_of
from experiments.resbuilder.points import rows_of_points
from experiments.resbuilder.race_jobs import (
    HAND_MADE,
    PAIR,
    RACE,
    SCRATCH,
    THESIS,
    THIRD,
    ranked_rates,
)
from experiments.summary import percent_spread
from resbuilder.common.figures import BLUE, GRAY
from resbuilder.config import CONTENDERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rows(results: list[dict]) -> dict[str, dict[int, dict]]:
    """Return the measurements by row of the table and by seed, for seeds with a race only."""
    races = _of_kind(results, RACE)
    total = _epochs_in_all(races)
    ranked = ranked_rates(results)
    short = [_trainings(results, network, total // 3, ranked[network][0]) for network in CONTENDERS]
    thirds = {
        seed: max((found[seed] for found in short), key=lambda r: r["validation"])
        | {"seconds": sum(found[seed]["seconds"] for found in short)}
        for seed in races
        if all(seed in found for found in short)
    }
    scratch = {
        seed: r | {"test": r["scratch_test"], "epochs": total, "seconds": None}
        for seed, r in races.items()
        if "scratch_test" in r
    }
    table = {
        RACE: races,
        **{
            network: _trainings(results, network, total, rate)
            for network, rate in final_rates(results).items()
        },
        THIRD: thirds,
        PAIR: _of_kind(results, PAIR),
        THESIS: _of_kind(results, THESIS),
        SCRATCH: scratch,
    }
    both = {
        name: {seed: r for seed, r in found.items() if seed in races}
        for name, found in table.items()
    }
    return {name: found for name, found in both.items() if found}


def final_rates(results: list[dict]) -> dict[str, float]:
    """Return the learning rate of each hand-made network that counts after T epochs.

    It has the highest mean validation accuracy of the rates that are measured with the most seeds.
    Before the first training of T epochs, it is the best rate after T/3 epochs.
    """
    total = _epochs_in_all(_of_kind(results, RACE))

    def score(network: str, rate: float) -> tuple[int, float]:
        found = [r["validation"] for r in _trainings(results, network, total, rate).values()]
        return len(found), float(np.mean(found)) if found else 0.0

    ranked = ranked_rates(results)
    return {n: max(ranked[n], key=partial(score, n)) for n in CONTENDERS}


def _epochs_in_all(races: dict[int, dict]) -> int:
    return next(iter(races.values()))["job"]["settings"]["total_epochs"]


def _trainings(results: list[dict], network: str, epochs: int, rate: float) -> dict[int, dict]:
    """Return the trainings of a hand-made network by seed."""
    return {
        seed_of(r["job"]): r
        for r in results
        if r["job"]["kind"] == HAND_MADE
        and (r["job"]["network"], r["job"]["epochs"]) == (network, epochs)
        and r["job"]["settings"]["learning_rate"] == rate
    }


def _of_kind(results: list[dict], kind: str) -> dict[int, dict]:
    return {seed_of(r["job"]): r for r in results if r["job"]["kind"] == kind}


def markdown(results: list[dict]) -> str:
    """Return the table of test accuracies by seed, and the lead of the race over each row."""
    from resbuilder.report.style import si

    table = rows(results)
    races, rates, ranked = table[RACE], final_rates(results), ranked_rates(results)
    s = next(iter(races.values()))["job"]["settings"]
    images = f"{s['train_limit']:,} training images" if s["train_limit"] else "all training images"
    seeds = sorted(races)
    named = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    lines = [
        f"{s['dataset']}: ζ = {si(s['flops'])}FLOPs; {images}, validation included; T = "
        f"{s['total_epochs']} epochs; whole test set. Test accuracy in %, mean ± deviation over "
        f"{named}. Learning rates chosen on validation data, for T and for T/3 epochs: "
        + ", ".join(f"{n} {rates[n]:g} and {ranked[n][0]:g}" for n in CONTENDERS)
        + ".\n",
        "| | test accuracy | by seed | lead of the race, by seed | epochs of the weights | "
        "processor seconds |",
        "|---" * 6 + "|",
    ]
    for name, found in table.items():
        there = [seed for seed in seeds if seed in found]
        tests = [found[seed]["test"] for seed in there]
        ahead = [races[seed]["test"] - found[seed]["test"] for seed in there]
        seconds = [found[seed]["seconds"] for seed in there if found[seed]["seconds"] is not None]
        cells = (
            name,
            percent_spread(tests),
            ", ".join(f"{100 * test:.2f}" for test in tests),
            "–" if name == RACE else ", ".join(f"{100 * a:+.2f}" for a in ahead),
            ", ".join(dict.fromkeys(str(found[seed]["epochs"]) for seed in there)),
            f"{np.mean(seconds):.0f}" if seconds else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    found = ", ".join(f"{races[seed]['label']} (seed {seed})" for seed in seeds)
    lines.append(f"\nThe race chose {found}.")
    hand_made = [table[network] for network in CONTENDERS if network in table]
    if hand_made and all(set(found) == set(seeds) for found in hand_made):
        best = [max(found[seed]["test"] for found in hand_made) for seed in seeds]
        ahead = [races[seed]["test"] - b for seed, b in zip(seeds, best, strict=True)]
        points = ", ".join(f"{100 * a:+.2f}" for a in ahead)
        lines.append(
            "Lead of the race over the hand-made network that is best on test data, by seed: "
            f"{points} points."
        )
    return "\n".join(lines) + "\n"


def draw(results: list[dict]) -> Figure:
    """Draw the test accuracy of each row, with a point for every seed."""
    table = {name: [r["test"] for r in found.values()] for name, found in rows(results).items()}
    colors = [BLUE if name == RACE else GRAY for name in table]
    return rows_of_points(table, colors, "Test accuracy (points: seeds; bars: mean)", means=True)
