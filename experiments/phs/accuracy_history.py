"""Figure 3.3: test accuracy over the epochs, PHS with and without goal-oriented braking.

Its four settings are rows of Tables 3.1 and 3.2, so nothing is trained here. The figure shows the
results that are available so far.

::

    python -m experiments.phs.accuracy_history
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.catalog import Experiment
from experiments.command import RESULTS
from experiments.phs.rows import job_dynamics
from experiments.phs.table import all_jobs
from resbuilder.common.cli import Command

if TYPE_CHECKING:
    from experiments.phs.cells import Measured

# Dataset, α, γ and m of the panels (a) to (d).
PANELS = (
    ("fashion_mnist", 0.1, 0.1, 10.0),
    ("fashion_mnist", 0.01, 1.0, 0.1),
    ("cifar10", 0.1, 0.1, 100.0),
    ("cifar10", 0.01, 0.1, 25.0),
)


def panels(folder: Path) -> list[tuple[Measured, Measured] | None]:
    """Return each panel's rows, without and with braking; None if not measured yet.

    Args:
        folder: The folder of ``fashion_mnist.json`` and ``cifar10.json``.
    """
    from experiments.phs.cells import pairs_in

    found = {
        (free.row.dataset, free.row.learning_rate, free.row.friction, free.row.mass): (free, braked)
        for dataset in ("fashion_mnist", "cifar10")
        for free, braked in pairs_in(folder / f"{dataset}.json")
    }
    return [found.get(panel) for panel in PANELS]


def publish_from(path: Path) -> None:
    """Draw the figure from both tables, next to the given results file."""
    from experiments.phs import figures

    found = panels(path.parent)
    if any(found):
        figures.histories(found, PANELS).savefig(path.with_name("accuracy_history.png"), dpi=150)


def panel_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Return the table's jobs that appear in the panels, keyed by name."""
    names = ("learning_rate", "friction", "mass")
    shown = {
        job_dynamics(dict(zip(names, panel, strict=True)))
        for panel_dataset, *panel in PANELS
        if panel_dataset == dataset
    }
    return {
        name: job
        for name, job in all_jobs(dataset, preset).items()
        if job["batch_size"] == 128 and job_dynamics(job) in shown
    }


EXPERIMENTS = (
    Experiment(
        jobs={f"phs/{d}": partial(panel_jobs, d) for d in ("fashion_mnist", "cifar10")},
        publish_from=publish_from,
        times={"thesis": "seconds: nothing is trained"},
        page="phs/accuracy_history",
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
def main():
    """Draw the figure, and print its path."""
    folder = RESULTS / "phs"
    measured = sum(pair is not None for pair in panels(folder))
    if not measured:
        raise click.UsageError(
            "none of the four settings has been measured yet: first run python -m "
            "experiments.phs.cifar10 or experiments.phs.fashion_mnist, with --preset thesis"
        )
    publish_from(folder / "cifar10.json")
    click.echo(f"{measured} of {len(PANELS)} panels: {folder / 'accuracy_history.png'}")


if __name__ == "__main__":
    main()
