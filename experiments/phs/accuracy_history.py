"""Figure 3.3: test accuracy over the epochs, PHS against goal-oriented braking.

Its four settings are rows of Tables 3.1 and 3.2, so nothing is trained here: the figure shows what
is there of the tables' results.

::

    python -m experiments.phs.accuracy_history
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import RESULTS
from experiments.phs import figures
from experiments.phs.cells import Measured, pairs_in
from resbuilder.common.cli import Command

# Dataset, α, γ and m of the panels (a) to (d).
PANELS = (
    ("fashion_mnist", 0.1, 0.1, 10.0),
    ("fashion_mnist", 0.01, 1.0, 0.1),
    ("cifar10", 0.1, 0.1, 100.0),
    ("cifar10", 0.01, 0.1, 25.0),
)


def panels(folder: Path) -> list[tuple[Measured, Measured] | None]:
    """Return the row without and the row with braking of each panel; None if not measured yet.

    Args:
        folder: Where ``fashion_mnist.json`` and ``cifar10.json`` are.
    """
    found = {
        (free.row.dataset, free.row.learning_rate, free.row.friction, free.row.mass): (free, braked)
        for dataset in ("fashion_mnist", "cifar10")
        for free, braked in pairs_in(folder / f"{dataset}.json")
    }
    return [found.get(panel) for panel in PANELS]


def publish_from(path: Path) -> None:
    """Draw the figure beside a file of results of Table 3.1 or 3.2, from both."""
    found = panels(path.parent)
    if any(found):
        figures.histories(found, PANELS).savefig(path.with_name("accuracy_history.png"), dpi=150)


@click.command(cls=Command, help=__doc__.splitlines()[0])
def main():
    """Draw, and say where it is."""
    folder = RESULTS / "phs"
    there = sum(pair is not None for pair in panels(folder))
    if not there:
        raise click.UsageError(
            "none of the four settings is measured yet: run python -m experiments.phs.cifar10 "
            "--preset thesis, or experiments.phs.fashion_mnist"
        )
    publish_from(folder / "cifar10.json")
    click.echo(f"{there} of {len(PANELS)} panels: {folder / 'accuracy_history.png'}")


if __name__ == "__main__":
    main()
