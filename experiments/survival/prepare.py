"""Make the slides and the training images of a cohort, with progress bars."""

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
    """Make the missing slides, and the missing images of them.

    Args:
        folder: Folder for ``images``, and for ``slides``, which ``make_slides`` makes.
        make_slides: Called with ``progress=``, a function of the numbers of finished and of all
            slides.
        canvas: Width and height of the images.
        workers: Number of slides processed at the same time.
        name: Name of the cohort in the progress bars.

    Raises:
        click.ClickException: If a slide cannot be read.
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
