"""Figure 5.1: one iteration of MorphNet for several λ: losses, errors, FLOPs and size.

::

    python -m experiments.morphnet.one_iteration --preset quick
    python -m experiments.morphnet.one_iteration --preset thesis

Panel (a) shows the loss with the term over the FLOPs of the alive channels, during training. The
others show the networks that the iterations suggest, with Pareto fronts: (b) of test error and
size, (c) of loss without the term and FLOPs. Errors and losses are those of the training with the
term. Fronts are chosen on validation images, and the figure shows test images.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import Running, standard_options
from experiments.measuring import publish
from experiments.morphnet.iterations import Iterations, experiment, measure_iterations
from experiments.morphnet.network import flops, size
from experiments.morphnet.what_is_left import dots
from resbuilder.common.cli import Command


def markdown(iterations: Iterations) -> str:
    """Return the table of remaining widths and accuracies by λ, mean ± deviation over seeds."""
    from experiments.summary import percent_spread
    from resbuilder.report.style import si

    lines = [
        "| λ | left of 32·64·512 | FLOPs | weights | λ·term at the start | λ·term at the end "
        "| loss without the term | test, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for strength, runs in iterations.by_strength().items():
        firsts = [run["iterations"][0] for run in runs]
        left = [first["alive"] for first in firsts]
        terms = [
            f"{sum(f['history'][n]['term'] for f in firsts) / len(firsts):.3g}" for n in (0, -1)
        ]
        loss = sum(first["test_loss"] for first in firsts) / len(firsts)
        lines.append(
            f"| {strength:g} | {', '.join(map(dots, left))} "
            f"| {', '.join(si(flops(w)) for w in left)} | {', '.join(si(size(w)) for w in left)} "
            f"| {' | '.join(terms)} | {loss:.3f} | {percent_spread([f['test'] for f in firsts])} |"
        )
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Write the table and the figure next to the results file."""
    from experiments.morphnet import figures

    iterations = Iterations(path)
    figure = figures.one_iteration(iterations)
    publish(path.with_name("one_iteration.json"), figure, markdown(iterations))


EXPERIMENTS = (experiment("one_iteration", publish_from),)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("morphnet")
def main(preset: str, running: Running) -> None:
    """Run the missing measurements, and write the table and the figure."""
    publish_from(measure_iterations(preset, running))


if __name__ == "__main__":
    main()
