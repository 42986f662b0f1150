"""Figure 5.3: what a second round of MorphNet adds at equal FLOPs.

::

    python -m experiments.morphnet.two_rounds --preset quick
    python -m experiments.morphnet.two_rounds --preset thesis

The second round starts from the first one's widths, scaled to the FLOPs of the start, with the
same λ. Both rounds' networks are compared with widths scaled alike at their own FLOPs. The
trainings are those of ``experiments.morphnet.pareto``.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import publish, standard_options
from experiments.morphnet import figures
from experiments.morphnet.rounds import Rounds, measure_rounds
from experiments.phs.summary import signed
from resbuilder.report.style import si


def pairs(rounds: Rounds) -> list[tuple[dict, dict]]:
    """The networks after one and after two rounds of the runs that came so far."""
    second = {(n["job"]["strength"], n["job"]["seed"]): n for n in rounds.networks(2)}
    return [
        (first, second[key])
        for first in rounds.networks(1)
        if (key := (first["job"]["strength"], first["job"]["seed"])) in second
    ]


def markdown(rounds: Rounds) -> str:
    """Both rounds for each λ, paired by seed; gains as mean ± standard deviation."""
    lines = [
        "| λ | runs | after one round | after two rounds | FLOPs | above widths scaled alike, "
        "points: one round | two rounds | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    all_pairs = pairs(rounds)
    rows = {
        f"{strength:g}": [p for p in all_pairs if p[0]["job"]["strength"] == strength]
        for strength in rounds.by_strength()
    }
    for label, group in (rows | {"all": all_pairs}).items():
        if not group:
            lines.append(f"| {label} | 0 | – | – | – | – | – | – |")
            continue
        sides = list(zip(*group, strict=True))
        left = [", ".join("·".join(map(str, n["widths"])) for n in side) for side in sides]
        cost = " → ".join(si(sum(n["flops"] for n in side) / len(side)) for side in sides)
        one, two = ([rounds.gain(n) for n in side] for side in sides)
        difference = [b - a for a, b in zip(one, two, strict=True)]
        if label == "all":
            left, cost = ["–", "–"], "–"
        lines.append(
            f"| {label} | {len(group)} | {left[0]} | {left[1]} | {cost} "
            f"| {signed(one)} | {signed(two)} | {signed(difference)} |"
        )
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Writes table and figure beside the file of the rounds' results."""
    rounds = Rounds(path)
    publish(path.with_name("two_rounds.json"), figures.two_rounds(rounds), markdown(rounds))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure what is missing, draw, and say where it is."""
    publish_from(measure_rounds(preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
