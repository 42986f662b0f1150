"""Options that several commands have: which cohort, of which endpoint, and its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

time_column = click.option("--time", default="time", show_default=True, help="Column of the times.")
event_column = click.option(
    "--event", default="event", show_default=True, help="Column of the events (1, 0 = censored)."
)


def cohort_options(manifest: str) -> Callable:
    """The options ``--manifest``, ``--images``, ``--dataset``, ``--time`` and ``--event``.

    Args:
        manifest: What the manifest must hold.

    Returns:
        A decorator of a command; :func:`read_cohort` takes what they give.
    """

    def decorate(command: Callable) -> Callable:
        for option in (
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
    manifest: Path, datasets: tuple[str, ...], time: str, event: str, need_events: bool = True
):
    """The cohort of a manifest, or the part of it that is of some datasets.

    Args:
        manifest: The file.
        datasets: Names; all if there are none.
        time: Column of the times.
        event: Column of the events.
        need_events: Whether every split of the manifest must contain an event.
    """
    from survival.cohort import Cohort

    cohort = Cohort.read(manifest, time, event, need_events=need_events)
    return cohort.of_dataset(*datasets) if datasets else cohort
