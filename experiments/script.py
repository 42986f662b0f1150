"""The usual script: one results file, whose jobs do not depend on results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.jobs import seed_of
from experiments.measuring import measure
from resbuilder.common.cli import Command


def script(
    name: str,
    work: Callable[[dict], dict],
    jobs: Callable[[str], dict[str, dict]],
    publish_from: Callable[[Path], None],
    times: Mapping[str, str],
    doc: str | None,
) -> tuple[tuple[Experiment, ...], click.Command]:
    """Return a script's ``EXPERIMENTS`` and its ``main``.

    ``main`` runs the jobs that are missing, and writes the table and the figure.

    Args:
        name: ``CHAPTER/NAME`` of the results.
        work: Takes the settings of a job and returns its result.
        jobs: Takes a preset and returns the settings of its jobs by name.
        publish_from: Writes the table and the figure next to a results file.
        times: How long each preset takes; the first is the default.
        doc: The script's docstring, whose first line is the help text.
    """
    seeds = {preset: len({seed_of(job) for job in jobs(preset).values()}) for preset in times}

    @click.command(cls=Command, help=(doc or "").splitlines()[0])
    @standard_options(name.split("/")[0], *times, seeds=seeds if max(seeds.values()) > 1 else None)
    def main(preset: str, running: Running) -> None:
        publish_from(measure(name, work, jobs(preset), preset, running))

    return (Experiment({name: jobs}, publish_from, times),), main
