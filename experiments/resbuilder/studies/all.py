"""All studies of chapter 6 in sequence; searches that several studies share are done once.

::

    python -m experiments.resbuilder.studies.all --preset laptop
"""

from __future__ import annotations

import click

from experiments.command import Running, standard_options
from experiments.resbuilder.studies import (
    budget,
    insert_init,
    intensity,
    long_run,
    momentum,
    regularization,
    removal_cost,
    removal_positions,
)
from experiments.resbuilder.studies.study import CHAPTER, SEEDS, SIZES, Study
from resbuilder.common.cli import Command

MODULES = (
    *(budget, insert_init, momentum, removal_positions, removal_cost),
    *(regularization, intensity, long_run),
)
STUDIES: tuple[Study, ...] = tuple(module.STUDY for module in MODULES)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options(CHAPTER, *SIZES, seeds=SEEDS, mirrored=True)
def main(preset: str, running: Running) -> None:
    """Measure and publish each study."""
    for study in STUDIES:
        study.run(preset, running)


if __name__ == "__main__":
    main()
