"""``survival preprocess``: a folder of slides becomes a folder of images."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from resbuilder.common.cli import Command, resumed_by
from survival.cli.bar import progress_bar

# Slides whose notes are printed; a cohort of fluorescence has one for each.
NOTES = 20


class Canvas(click.ParamType):
    """Width and height as in 2500x2000."""

    name = "WIDTHxHEIGHT"

    def convert(self, value, param, ctx):
        """Two whole numbers."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)[x×](\d+)", value)
        if not match or "0" in match.groups():
            self.fail(
                f"{value!r} is not a width and a height in pixels, such as 2500x2000", param, ctx
            )
        return tuple(int(number) for number in match.groups())


@click.command(cls=Command)
@click.argument(
    "slides",
    type=click.Path(exists=True, path_type=Path),
    metavar="SLIDES...|MANIFEST",
    nargs=-1,
    required=True,
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder."
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder in which MANIFEST's slides lie.  [that of the manifest]",
)
@click.option("--downsample", type=float, help="Slide pixels per image pixel.  [64]")
@click.option("--mpp", type=float, help="Instead: micrometres per image pixel.")
@click.option(
    "--canvas", type=Canvas(), default="2500x2000", show_default=True, help="Size of the images."
)
@click.option("--fit", is_flag=True, help="Reduce slides further that exceed the canvas.")
@click.option(
    "--icc", is_flag=True, help="Convert colours to sRGB where a slide has a colour profile."
)
@click.option(
    "--slide-mpp",
    type=float,
    help="Micrometres per slide pixel, for slides that do not know their own.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Decode JPEG tiles in full: slower, and differs by at most one grey level.",
)
@click.option("--hash", is_flag=True, help="Add a hash (xxh3) of each slide's whole file.")
@click.option(
    "--workers", type=click.IntRange(1), help="Slides at the same time.  [number of processors]"
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=300,
    show_default=True,
    help="Seconds without progress after which a slide is given up.",
)
@click.option("--overwrite", is_flag=True, help="Make images again that have other settings.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Slides over the nodes of a Ray cluster (HOST:PORT), or a Ray of this command's own "
    "(local); one core and 1 GiB each.",
)
def preprocess(slides: tuple[Path, ...], out: Path, workers: int | None, **settings) -> None:
    """Turn whole-slide images into inputs of a network.

    SLIDES are slides and folders, which are searched with their sub-folders; MANIFEST is a CSV
    file with a column "slide" and, for slides with settings of their own, "downsample", "mpp" or
    "slide_mpp".

    Every slide becomes a PNG, centred on white; manifest.csv says where each comes from, and why
    a slide failed; contact_sheet_1.jpg, ... show them all. Run again, it makes what is missing.

    Exit status: 0; 1 if some slides failed; 2 if all did, or nothing was begun.
    """
    from survival.slides.batch import cpus, preprocess_slides

    with resumed_by(), progress_bar("slides") as progress:
        rows = preprocess_slides(
            slides, out, workers=workers or cpus(), progress=progress, **settings
        )
    noted = [row for row in rows if row["notes"]]
    for row in noted[:NOTES]:
        click.echo(f"Note: {_printable(row['slide'])}: {row['notes']}", err=True)
    if len(noted) > NOTES:
        more = len(noted) - NOTES
        click.echo(f"Note: {more} more slides have notes, see {out / 'manifest.csv'}", err=True)
    failed = [row for row in rows if row["status"] != "ok"]
    for row in failed:
        click.echo(f"{_printable(row['slide'])}: {_printable(row['reason'])}", err=True)
    ending = f"; {len(failed)} failed" if failed else ""
    click.echo(f"{len(rows) - len(failed)} of {len(rows)} slides are images in {out}{ending}")
    if failed:
        click.get_current_context().exit(1 if len(failed) < len(rows) else 2)


def _printable(text: str) -> str:
    """Names of files need not be text."""
    return os.fsencode(text).decode(errors="backslashreplace")
