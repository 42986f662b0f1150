"""Figure 5.5: the widths that MorphNet suggests, round by round.

::

    python -m experiments.morphnet.suggested_widths --preset quick
    python -m experiments.morphnet.suggested_widths --preset thesis

The trainings are those of ``experiments.morphnet.bad_start``.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import publish, standard_options
from experiments.morphnet import figures
from experiments.morphnet.starts import by_start, measure_starts


def publish_from(path: Path) -> None:
    """Writes the figure beside the file of the starts' results."""
    publish(path.with_name("suggested_widths.json"), figures.suggested_widths(by_start(path)))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure what is missing, draw, and say where it is."""
    publish_from(measure_starts(preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
