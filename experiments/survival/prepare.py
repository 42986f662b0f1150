"""From a cohort that is drawn to images that a network trains on, with progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

IMAGES = "images"


def prepare_images(
    folder: Path,
    make_slides: Callable[..., object],
    canvas: tuple[int, int],
    workers: int,
    name: str,
) -> None:
    """Make slides, and images of them, as far as they are not there yet.

    Args:
        folder: Gets ``images``; its ``slides`` are what ``make_slides`` makes.
        make_slides: Called with ``progress=``, itself called with slides done and in all.
        canvas: Width and height of the images.
        workers: Slides at the same time.
        name: Of the cohort, beside the progress bars.

    Raises:
        click.ClickException: A slide cannot be read.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from survival.slides import preprocess_slides

    columns = f"{name}: {{task.description}}", BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn()) as bars:

        def bar(what):
            task = bars.add_task(what, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        make_slides(progress=bar("slides"))
        rows = preprocess_slides(
            folder / "slides" / "cohort.csv",
            folder / IMAGES,
            canvas=canvas,
            workers=workers,
            progress=bar("images"),
        )
    if failed := [row for row in rows if row["status"] != "ok"]:
        raise click.ClickException(f"{failed[0]['slide']}: {failed[0]['reason']}")
