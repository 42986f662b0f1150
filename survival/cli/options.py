"""Options that several commands share: the cohort, its endpoint and its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

time_column = click.option(
    "--time", default="time", show_default=True, help="Column with the follow-up times."
)
event_column = click.option(
    "--event",
    default="event",
    show_default=True,
    help="Column with the events (1 = event, 0 = censored).",
)

time_unit = click.option(
    "--time-unit",
    help="Unit of the times, such as months; labels figures and tables.  [column time_unit of the "
    "manifest]",
)
event_is = click.option(
    "--event-is",
    metavar="VALUE",
    help="The value of the event column that means an event; every other value then means "
    "censored.  [default: 1, true, yes, Dead, 1:DECEASED and similar]",
)


def cohort_options(manifest: str) -> Callable:
    """Return the options that describe a cohort, from ``--manifest`` to ``--time-unit``.

    Args:
        manifest: What the manifest must contain, for the help text.

    Returns:
        A decorator for a command. Pass the options' values to :func:`read_cohort`.
    """

    def decorate(command: Callable) -> Callable:
        for option in (
            time_unit,
            event_is,
            event_column,
            time_column,
            click.option(
                "--dataset",
                "datasets",
                multiple=True,
                help="Use only the slides of this dataset; repeatable.",
            ),
            click.option(
                "--images",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                required=True,
                help="Output folder of `survival preprocess`.",
            ),
            click.option(
                "--manifest",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                required=True,
                help=f"CSV file with {manifest}; see `survival cohort`.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def read_cohort(
    manifest: Path,
    datasets: tuple[str, ...],
    time: str,
    event: str,
    event_is: str | None,
    time_unit: str | None,
    need_events: bool = True,
):
    """Return the cohort of a manifest, or only the part that belongs to some datasets.

    Print on standard error how many slides and patients are left out, and with which outcomes.

    Args:
        manifest: The CSV file.
        datasets: Names of the datasets to use; empty for all.
        time: Column with the follow-up times.
        event: Column with the events.
        event_is: The value of that column that means an event; None for the usual spellings.
        time_unit: Unit of the times, if the manifest does not state it.
        need_events: Whether every split of the manifest must contain an event.
    """
    from survival.cohort import Cohort, Outcomes

    cohort = Cohort.read(manifest, time, event, need_events=need_events, event_is=event_is)
    cohort = cohort.in_unit(time_unit)
    if not datasets:
        return cohort
    chosen = cohort.of_dataset(*datasets)
    others = cohort.select(~np.isin(cohort.dataset.astype(str), datasets))
    if len(others):
        _, first = np.unique(others.patient.astype(str), return_index=True)
        click.echo(
            f"left out by --dataset: {len(others)} slides of {len(first)} patients "
            f"({Outcomes.of(others.event[first])})",
            err=True,
        )
    return chosen
