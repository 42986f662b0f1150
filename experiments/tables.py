"""Every table and figure of every chapter again, from the stored results alone: no training.

::

    python -m experiments.tables

What was measured lies in ``experiments/results/CHAPTER/NAME.json``; tables and figures are written
beside it.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.catalog import experiments
from experiments.command import RESULTS
from experiments.resbuilder import table_6_1
from resbuilder.common.cli import Command


def regenerate(results: Path) -> list[Path]:
    """Writes table and figure of every file of results that is there.

    Args:
        results: Folder with a folder for each chapter.

    Returns:
        The files of results.
    """
    from experiments.survival import thesis_tables

    found = []
    for experiment in experiments():
        for name in experiment.jobs:
            for path in (results / f"{name}.json", results / f"{name}_laptop.json"):
                if path.is_file():
                    experiment.publish_from(path)
                    found.append(path)
    # The printed tables, whose pages are made of several files of results.
    for chapter, page in (("resbuilder", table_6_1), ("survival", thesis_tables)):
        if (results / chapter).is_dir():
            page.publish_from(results / chapter)
    return found


@click.command(cls=Command, help=__doc__.splitlines()[0])
def main():
    """Regenerate, and say how much there was."""
    found = regenerate(RESULTS)
    click.echo(f"{len(found)} results: tables and figures written again below {RESULTS}")


if __name__ == "__main__":
    main()
