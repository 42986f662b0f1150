"""The table and the figure that compare a race with hand-made networks."""

from __future__ import annotations

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
    chosen_rates,
)
from experiments.summary import percent_spread
from resbuilder.common.figures import BLUE, GRAY
from resbuilder.config import CONTENDERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rows(results: list[dict]) -> dict[str, dict[int, dict]]:
    """Return the measurements by row of the table and by seed, for seeds with a race only."""
    races = _of_kind(results, RACE)
    total = next(iter(races.values()))["job"]["settings"]["total_epochs"]
    rates = chosen_rates(results)

    def hand_made(network: str, epochs: int) -> dict[int, dict]:
        return {
            seed_of(r["job"]): r
            for r in results
            if r["job"]["kind"] == HAND_MADE
            and (r["job"]["network"], r["job"]["epochs"]) == (network, epochs)
            and r["job"]["settings"]["learning_rate"] == rates[network]
        }

    short = [hand_made(network, total // 3) for network in CONTENDERS]
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
        **{network: hand_made(network, total) for network in CONTENDERS},
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


def _of_kind(results: list[dict], kind: str) -> dict[int, dict]:
    return {seed_of(r["job"]): r for r in results if r["job"]["kind"] == kind}


def markdown(results: list[dict]) -> str:
    """Return the table of test accuracies by seed, and the lead of the race over each row."""
    from resbuilder.report.style import si

    table = rows(results)
    races, rates = table[RACE], chosen_rates(results)
    s = next(iter(races.values()))["job"]["settings"]
    images = f"{s['train_limit']:,} training images" if s["train_limit"] else "all training images"
    seeds = sorted(races)
    named = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    lines = [
        f"{s['dataset']}: ζ = {si(s['flops'])}FLOPs; {images}, validation included; T = "
        f"{s['total_epochs']} epochs; whole test set. Test accuracy in %, mean ± deviation over "
        f"{named}. Learning rates chosen on validation data: "
        + ", ".join(f"{network} {rates[network]:g}" for network in CONTENDERS)
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
