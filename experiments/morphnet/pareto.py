"""Figures 5.1 and 5.2: FLOPs against accuracy over λ, and which runs break down.

::

    python -m experiments.morphnet.pareto --preset quick
    python -m experiments.morphnet.pareto --preset thesis

One round of MorphNet. Beside its networks stands what they must beat: the start with all widths
scaled alike, trained just as long. The front is chosen on validation images, and what is reported
is the test.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import publish, standard_options
from experiments.morphnet import figures
from experiments.morphnet.rounds import Rounds, measure_rounds, pareto_front
from experiments.phs.summary import signed, spread
from resbuilder.report.style import si


def by_strength(rounds: Rounds) -> str:
    """What a round leaves for each λ and how it does, mean ± standard deviation over seeds."""
    lines = [
        "| λ | left of 32·64, by seed (0: broke down) | FLOPs | test, % "
        "| above widths scaled alike, points |",
        "|---|---|---|---|---|",
    ]
    for strength, runs in rounds.by_strength().items():
        left = ", ".join("·".join(map(str, r["rounds"][0]["with_term"]["alive"])) for r in runs)
        networks = [n for n in rounds.networks(1) if n["job"]["strength"] == strength]
        cells = ["–"] * 3
        if networks:
            cells = [
                ", ".join(si(n["flops"]) for n in networks),
                spread([n["test"] for n in networks]),
                signed([rounds.gain(n) for n in networks]),
            ]
        lines.append(f"| {strength:g} | {left} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def front_table(rounds: Rounds) -> str:
    """The networks on the front."""
    lines = [
        "| on the Pareto front | λ | seed | FLOPs | validation, % | test, % "
        "| above widths scaled alike, points |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {'·'.join(map(str, n['widths']))} | {n['job']['strength']:g} | {n['job']['seed']} "
        f"| {si(n['flops'])} | {spread([n['validation']])} | {spread([n['test']])} "
        f"| {signed([rounds.gain(n)])} |"
        for n in pareto_front(rounds.networks(1))
    ]
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Writes tables and figure beside the file of the rounds' results."""
    rounds = Rounds(path)
    table = by_strength(rounds) + "\n" + front_table(rounds)
    publish(path.with_name("pareto.json"), figures.pareto(rounds), table)


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure what is missing, draw, and say where it is."""
    publish_from(measure_rounds(preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
