"""``survival preprocess``: a folder of slides becomes a folder of images."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from resbuilder.common.cli import Command, resumed_by
from survival.cli.progress_bar import progress_bar

# The most notes that are printed: a fluorescence cohort has one for every slide.
NOTES = 20


class Canvas(click.ParamType):
    """Width and height as in 2500x2000."""

    name = "WIDTHxHEIGHT"

    def convert(self, value, param, ctx):
        """Return width and height as two whole numbers."""
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
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the images.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that contains the slides of MANIFEST.  [default: the folder of MANIFEST]",
)
@click.option(
    "--downsample", type=float, help="Slide pixels per image pixel, along each axis.  [default: 64]"
)
@click.option("--mpp", type=float, help="Micrometres per image pixel, instead of --downsample.")
@click.option(
    "--canvas",
    type=Canvas(),
    default="2500x2000",
    show_default=True,
    help="Width and height of the images in pixels.",
)
@click.option(
    "--fit",
    is_flag=True,
    help="Shrink slides that are too large for the canvas, instead of reporting an error.",
)
@click.option(
    "--icc", is_flag=True, help="Convert colors to sRGB if the slide has a color profile."
)
@click.option(
    "--slide-mpp",
    type=float,
    help="Micrometres per slide pixel, for slides whose file does not state it.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Decode JPEG tiles at full size. Slower; pixels differ by at most one gray level.",
)
@click.option("--hash", is_flag=True, help="Also record a hash (xxh3) of each whole slide file.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Number of slides processed at the same time.  [default: number of processors]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=300,
    show_default=True,
    help="Give up on a slide after this many seconds without progress.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace images that were made with other settings."
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Distribute the slides over a Ray cluster (HOST:PORT), or over a Ray instance started "
    "for this command (local). Each slide takes one core and 1 GiB of memory.",
)
def preprocess(slides: tuple[Path, ...], out: Path, workers: int | None, **settings) -> None:
    """Convert whole-slide images into input images for a network.

    SLIDES are slide files and folders; folders are searched with their sub-folders. MANIFEST is a
    CSV file with a column "slide". Its optional columns "downsample", "mpp" and "slide_mpp" set
    these options for each slide.

    Each slide becomes a PNG image of the same size, centered on a white canvas. In the output
    folder, manifest.csv records how each image was made, or why a slide failed. The files
    contact_sheet_1.jpg, ... show all images at a glance. Run the same command again to make only
    the images that are missing.

    Exit status: 0 if every slide succeeded, 1 if some failed, 2 if all failed or the command could
    not start.
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
        click.echo(f"Note: {more} more slides have notes: see {out / 'manifest.csv'}", err=True)
    failed = [row for row in rows if row["status"] != "ok"]
    for row in failed:
        click.echo(f"{_printable(row['slide'])}: {_printable(row['reason'])}", err=True)
    ending = f"; {len(failed)} failed" if failed else ""
    click.echo(
        f"{len(rows) - len(failed)} of {len(rows)} slides converted to images in {out}{ending}"
    )
    if failed:
        click.get_current_context().exit(1 if len(failed) < len(rows) else 2)


def _printable(text: str) -> str:
    """Return a text that can be printed, even from a file name that is not valid UTF-8."""
    return os.fsencode(text).decode(errors="backslashreplace")
