"""Regenerate every table and figure of all chapters from the stored results, without training.

::

    python -m experiments.tables

It reads ``experiments/results/CHAPTER/NAME.json`` and writes tables and figures next to them.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.catalog import experiments
from experiments.measuring import RESULTS
from experiments.resbuilder import thesis_table
from resbuilder.common.cli import Command


def regenerate(results: Path) -> list[Path]:
    """Write the table and the figure of every results file.

    Args:
        results: Folder with a folder for each chapter.

    Returns:
        The results files that were found.
    """
    from experiments.survival import thesis_tables

    found = []
    done = set()
    for experiment in experiments():
        for name in experiment.jobs:
            for path in (results / f"{name}.json", results / f"{name}_laptop.json"):
                # Several figures may have their results in one file, and one figure in several.
                task = (experiment.publish_from, experiment.page or path)
                if path.is_file() and task not in done:
                    experiment.publish_from(path)
                    done.add(task)
                    found.append(path)
    # The pages of the thesis' tables are made from several results files.
    for chapter, page in (("resbuilder", thesis_table), ("survival", thesis_tables)):
        if (results / chapter).is_dir():
            page.publish_from(results / chapter)
    return found


@click.command(cls=Command, help=__doc__.splitlines()[0])
def main():
    """Regenerate all tables and figures, and print how many."""
    found = regenerate(RESULTS)
    click.echo(f"Regenerated the tables and figures of {len(set(found))} files in {RESULTS}")


if __name__ == "__main__":
    main()
