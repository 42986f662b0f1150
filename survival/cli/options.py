"""Options that several commands have: which cohort, of which endpoint, and its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

time_column = click.option("--time", default="time", show_default=True, help="Column of the times.")
event_column = click.option(
    "--event", default="event", show_default=True, help="Column of the events (1, 0 = censored)."
)

time_unit = click.option(
    "--time-unit", help="Unit of the times, for figures and tables.  [the manifest's time_unit]"
)
event_is = click.option(
    "--event-is",
    metavar="VALUE",
    help="Value of the event column that means an event; every other one then means none.  "
    "[1, true, Dead and the like]",
)


def cohort_options(manifest: str) -> Callable:
    """Return the options of a cohort, from ``--manifest`` to ``--time-unit``.

    Args:
        manifest: What the manifest must hold.

    Returns:
        A decorator of a command; :func:`read_cohort` takes what they give.
    """

    def decorate(command: Callable) -> Callable:
        for option in (
            time_unit,
            event_is,
            event_column,
            time_column,
            click.option(
                "--dataset", "datasets", multiple=True, help="Only of this dataset; repeatable."
            ),
            click.option(
                "--images",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                required=True,
                help="What `survival preprocess` wrote.",
            ),
            click.option(
                "--manifest",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                required=True,
                help=f"CSV of {manifest}: see `survival cohort`.",
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
    """Return the cohort of a manifest, or the part of it that is of some datasets.

    Says on standard error who is left out, with their outcomes.

    Args:
        manifest: The file.
        datasets: Names; all if there are none.
        time: Column of the times.
        event: Column of the events.
        event_is: Its value that means an event.
        time_unit: Unit of the times, where the manifest does not say it.
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
