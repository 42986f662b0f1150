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
from experiments.measuring import RESULTS
from experiments.phs.rows import TITLES, job_dynamics
from experiments.phs.table_jobs import all_jobs
from resbuilder.common.cli import Command

if TYPE_CHECKING:
    from experiments.phs.table import Measured

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
    from experiments.phs.table import pairs_in

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
    missing = [panel for panel, pair in zip(PANELS, panels(folder), strict=True) if pair is None]
    need = ""
    if missing:
        named = (f"{TITLES[d]} with α {a:g}, γ {g:g}, m {m:g}" for d, a, g, m in missing)
        scripts = {f"python -m experiments.phs.{d} --preset thesis": None for d, *_ in missing}
        need = f"{'; '.join(named)}. They are rows of the tables of {' and '.join(scripts)}"
    if len(missing) == len(PANELS):
        raise click.UsageError(f"no row of the figure is measured yet: {need}")
    publish_from(folder / "cifar10.json")
    drawn = len(PANELS) - len(missing)
    click.echo(f"{drawn} of {len(PANELS)} panels: {folder / 'accuracy_history.png'}")
    if missing:
        click.echo(f"Not measured yet: {need}")


if __name__ == "__main__":
    main()
