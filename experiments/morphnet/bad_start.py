"""Figure 5.4: do a large, a small and an unbalanced start come to the same widths?

::

    python -m experiments.morphnet.bad_start --preset quick
    python -m experiments.morphnet.bad_start --preset thesis

Twenty rounds of training with MorphNet's term, removing, and scaling to one budget. Accuracy is
that of the training with the term; the last widths are suggested and not trained.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from experiments.command import publish, standard_options
from experiments.morphnet import figures
from experiments.morphnet.starts import balance, by_start, measure_starts
from experiments.phs.summary import spread


def markdown(starts: dict[str, list[dict]]) -> str:
    """Widths by seed and test accuracy after some rounds, and how far the starts are apart."""
    rounds = next(iter(starts.values()))[0]["job"]["rounds"]
    shown = sorted({n for n in (0, 1, 2, 3, 5, 10, 15) if n < rounds} | {rounds})
    lines = [
        f"| start | {' | '.join(f'after {n} rounds' for n in shown)} | test in the last, % |",
        "|" + "---|" * (len(shown) + 2),
    ]
    for name, runs in starts.items():
        cells = [
            ", ".join(
                "·".join(map(str, r["widths"][n])) if n < len(r["widths"]) else "broke down"
                for r in runs
            )
            for n in shown
        ]
        last = spread([r["rounds"][-1]["test"] for r in runs])
        lines.append(f"| {name} | {' | '.join(cells)} | {last} |")
    labels = ("between starts", "between seeds")
    for label, octaves in zip(labels, distances(starts).T, strict=True):
        cells = [f"{value:.2f}" if value == value else "–" for value in octaves[shown]]
        lines.append(f"| octaves {label} | {' | '.join(cells)} | |")
    return "\n".join(lines) + "\n"


def distances(starts: dict[str, list[dict]]) -> np.ndarray:
    """How far widths are apart, in octaves (factors of two) of second over first width.

    Returns:
        Shape (rounds + 1, 2): the largest distance between the means of two starts, and the mean
        standard deviation over seeds of a start (NaN with one seed). Runs that broke down are
        left out from then on.
    """
    balances = [balance(runs) for runs in starts.values()]
    result = np.full((balances[0].shape[1], 2), np.nan)
    for n, row in enumerate(result):
        groups = [b[:, n][np.isfinite(b[:, n])] for b in balances]
        means = [group.mean() for group in groups if len(group)]
        deviations = [group.std(ddof=1) for group in groups if len(group) > 1]
        if len(means) > 1:
            row[0] = max(means) - min(means)
        if deviations:
            row[1] = np.mean(deviations)
    return result


def publish_from(path: Path) -> None:
    """Writes table and figure beside the file of the starts' results."""
    starts = by_start(path)
    figure = figures.bad_start(starts, distances(starts))
    publish(path.with_name("bad_start.json"), figure, markdown(starts))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure what is missing, draw, and say where it is."""
    publish_from(measure_starts(preset, workers, data_dir, out))


if __name__ == "__main__":
    main()
