"""Every table and figure of every chapter again, from the stored results alone: no training.

::

    python -m experiments.tables

What was measured lies in ``experiments/results/CHAPTER/NAME.json``; tables and figures are written
beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from experiments.command import RESULTS
from experiments.morphnet import (
    bad_start,
    one_iteration,
    single_run,
    two_iterations,
    what_is_left,
)
from experiments.phs import (
    accuracy_history,
    alternatives,
    automatic,
    braking_options,
    mass_friction_grid,
    problems,
    readings,
)
from experiments.phs import table as phs_table
from experiments.resbuilder import hyperband, table_6_1
from experiments.resbuilder import table as resbuilder_table
from experiments.resbuilder.manipulation import __main__ as manipulation
from experiments.resbuilder.studies.all import STUDIES
from experiments.survival import domain_gap, thesis_sizes, thesis_tables
from experiments.survival import mnist as survival_mnist
from resbuilder.common.cli import Command

# Name of the results below the folder, and what goes from their file to table and figure.
PAGES: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("phs/fashion_mnist", phs_table.publish_from),
    ("phs/cifar10", phs_table.publish_from),
    ("phs/mass_friction_grid", mass_friction_grid.publish_from),
    ("phs/fashion_mnist", accuracy_history.publish_from),
    ("phs/cifar10", accuracy_history.publish_from),
    ("phs/readings", readings.publish_from),
    ("phs/automatic", automatic.publish_from),
    ("phs/problems", problems.publish_from),
    ("phs/alternatives_fashion_mnist", alternatives.publish_from),
    ("phs/alternatives_cifar10", alternatives.publish_from),
    ("phs/braking_options_fashion_mnist", braking_options.publish_from),
    ("phs/braking_options_cifar10", braking_options.publish_from),
    ("morphnet/what_is_left", what_is_left.publish_from),
    ("morphnet/iterations", one_iteration.publish_from),
    ("morphnet/iterations", two_iterations.publish_from),
    ("morphnet/iterations", single_run.publish_from),
    ("morphnet/bad_start", bad_start.publish_from),
    *((f"resbuilder/{d}", resbuilder_table.publish_from) for d in resbuilder_table.DATASETS),
    *((f"resbuilder_studies/{study.name}", study.publish_from) for study in STUDIES),
    ("resbuilder/hyperband", hyperband.publish_from),
    ("resbuilder/manipulation", manipulation.publish_from),
    ("survival/mnist", survival_mnist.publish_from),
    ("survival/domain_gap", domain_gap.publish_from),
    ("survival/thesis_sizes", thesis_sizes.publish_from),
)
# Folders of a chapter, and what makes the pages of several results in it: the printed tables.
PRINTED: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("resbuilder", table_6_1.publish_from),
    ("survival", thesis_tables.publish_from),
)


def regenerate(results: Path) -> list[Path]:
    """Writes table and figure of every file of results that is there.

    Args:
        results: Folder with a folder for each chapter.

    Returns:
        The files of results.
    """
    found = []
    for name, publish_from in PAGES:
        for path in (results / f"{name}.json", results / f"{name}_laptop.json"):
            if path.is_file():
                publish_from(path)
                found.append(path)
    for chapter, publish_from in PRINTED:
        if (results / chapter).is_dir():
            publish_from(results / chapter)
    return found


@click.command(cls=Command, help=__doc__.splitlines()[0])
def main():
    """Regenerate, and say how much there was."""
    found = regenerate(RESULTS)
    click.echo(f"{len(found)} results: tables and figures written anew below {RESULTS}")


if __name__ == "__main__":
    main()
