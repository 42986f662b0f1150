"""Figures 5.2 and 5.3: two iterations of MorphNet for several λ, then training without its penalty.

::

    python -m experiments.morphnet.two_iterations --preset quick
    python -m experiments.morphnet.two_iterations --preset thesis

Fig. 5.2 shows the test error and FLOPs of the suggested network during training. Fig. 5.3 shows
Pareto fronts of loss and FLOPs, after the first iteration and after the final training. The
training runs are shared with ``experiments.morphnet.one_iteration``.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.command import Running, standard_options
from experiments.measuring import publish
from experiments.morphnet.iterations import (
    Iterations,
    experiment,
    measure_iterations,
    trajectory,
)
from experiments.morphnet.what_is_left import dots
from resbuilder.common.cli import Command


def markdown(iterations: Iterations) -> str:
    """Return the table of widths and final training results, one row per λ and seed."""
    from experiments.summary import percent_spread
    from resbuilder.report.style import si

    lines = [
        "| λ | seed | first iteration leaves | second starts from | second leaves "
        "| final training of what is left: FLOPs | loss | test, % "
        "| final training, scaled to the FLOPs of the start: widths | loss | test, % |",
        "|" + "---|" * 11,
    ]
    for run in iterations.runs:
        job, done = run["job"], run["iterations"]
        second = done[1] if len(done) > 1 else None
        cells = [
            f"{job['strength']:g}",
            str(job["seed"]),
            remaining_widths(run, 0),
            dots(second and second["widths"]),
            remaining_widths(run, 1) if second else "–",
        ]
        if run["final"]:
            remaining, expanded = run["final"]["left"], run["final"]["expanded"]
            cells += [si(remaining["flops"]), f"{remaining['test_loss']:.3f}"]
            cells += [percent_spread([remaining["test"]])]
            cells += [dots(expanded["widths"]), f"{expanded['test_loss']:.3f}"]
            cells += [percent_spread([expanded["test"]])]
        else:
            cells += ["–"] * 6
        lines.append(f"| {' | '.join(cells)} |")
    return "\n\n".join(filter(None, ("\n".join(lines), scaled_table(iterations).strip()))) + "\n"


def remaining_widths(run: dict, number: int) -> str:
    """Return the widths that an iteration leaves, and the recorded step of a breakdown."""
    iteration = run["iterations"][number]
    if all(iteration["alive"]):
        return dots(iteration["alive"])
    step = next(r["step"] for r in iteration["history"] if not all(r["alive"]))
    return f"{dots(iteration['alive'])}, broke down by step {step}"


def scaled_table(iterations: Iterations) -> str:
    """Return the table of uniformly scaled networks trained without the penalty; empty if none."""
    if not iterations.scaled:
        return ""
    from experiments.summary import percent_spread
    from resbuilder.report.style import si

    lines = ["| widths scaled uniformly | FLOPs | loss | test, % |", "|---|---|---|---|"]
    for cost, group in iterations.scaled.items():
        loss = sum(r["test_loss"] for r in group) / len(group)
        tests = percent_spread([r["test"] for r in group])
        lines.append(f"| {dots(group[0]['widths'])} | {si(cost)} | {loss:.3f} | {tests} |")
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Write the table and the figures next to the results file."""
    from experiments.morphnet import figures

    iterations = Iterations(path)
    trajectories = [trajectory(run) for run in iterations.runs]
    figure = figures.two_iterations(iterations.runs, trajectories)
    publish(path.with_name("two_iterations.json"), figure, markdown(iterations))
    publish(path.with_name("fronts.json"), figures.fronts(iterations))


EXPERIMENTS = (experiment("two_iterations", publish_from),)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("morphnet")
def main(preset: str, running: Running) -> None:
    """Run the missing measurements, and write the table and the figures."""
    publish_from(measure_iterations(preset, running))


if __name__ == "__main__":
    main()
