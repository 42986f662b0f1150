"""Figure 5.4: test error, FLOPs and suggested widths every 100 steps at λ = 2e-8.

::

    python -m experiments.morphnet.single_run --preset quick
    python -m experiments.morphnet.single_run --preset thesis

It shows two iterations, and the final training of the remaining network. The training runs are
shared with ``experiments.morphnet.one_iteration``.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import Running, standard_options
from experiments.measuring import publish
from experiments.morphnet.iterations import (
    SHOWN,
    Iterations,
    experiment,
    measure_iterations,
    trajectory,
)
from experiments.morphnet.what_is_left import dots
from resbuilder.common.cli import Command


def markdown(trajectories: list[list[list[dict]]]) -> str:
    """Return the table of everything recorded for the first seed.

    Args:
        trajectories: The :func:`experiments.morphnet.iterations.trajectory` of each seed.
    """
    from resbuilder.report.style import si

    lines = [
        "| training | step | test error, % | FLOPs | suggested widths |",
        "|---|---|---|---|---|",
    ]
    names = ("first iteration", "second iteration", "final")
    for name, training in zip(names, trajectories[0], strict=False):
        lines += [
            f"| {name} | {r['step']} | {100 * r['error']:.2f} | {si(r['flops'])} "
            f"| {dots(r['alive'])} |"
            for r in training
        ]
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Write the table and the figure next to the results file."""
    from experiments.morphnet import figures

    trajectories = [trajectory(run) for run in Iterations(path).by_strength()[SHOWN]]
    publish(
        path.with_name("single_run.json"), figures.single_run(trajectories), markdown(trajectories)
    )


EXPERIMENTS = (experiment("single_run", publish_from),)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("morphnet")
def main(preset: str, running: Running) -> None:
    """Run the missing measurements, and write the table and the figure."""
    publish_from(measure_iterations(preset, running))


if __name__ == "__main__":
    main()
