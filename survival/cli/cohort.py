"""``survival cohort from-gdc|from-cbioportal|split|check|summary``: the cohort's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resbuilder.common.cli import Commands, echo_json, json_option
from resbuilder.common.replacing import begins_otherwise, check_place
from resbuilder.common.words import count
from survival.cli.options import event_column, event_is, time_column, time_unit
from survival.cohort.endpoints import ENDPOINTS

# pandas is imported by the commands, so that their help need not wait for it.
if TYPE_CHECKING:
    from survival.cohort import Cohort, GdcCohort

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_out = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV file to write.",
)
_endpoints = click.option(
    "--endpoint",
    "endpoints",
    type=click.Choice(ENDPOINTS, case_sensitive=False),
    multiple=True,
    default=("OS",),
    show_default=True,
    metavar=f"[{'|'.join(ENDPOINTS)}]",
    help="Endpoint: OS death, DSS death from the disease, PFS progression, DFS recurrence. "
    "Repeatable: the first fills the columns time and event; a further one, such as DSS, fills "
    "dss_time and dss_event. Patients who lack one of them are left out.",
)
_images = click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Output folder of `survival preprocess`, to find copies of a slide under two names.",
)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing cohort.")


@click.group(cls=Commands)
def cohort() -> None:
    """Build, check and split the table of slides, patients and follow-up."""


@cohort.command("from-gdc")
@click.argument("clinical", type=click.Path(exists=True, path_type=Path))
@click.argument("slides", type=_file, required=False)
@_endpoints
@click.option("--dataset", help="Name of the dataset.  [default: the project, such as TCGA-SKCM]")
@click.option(
    "--follow-up",
    type=_file,
    help="GDC's follow-up table (follow_up.tsv), if CLINICAL does not contain it.",
)
@click.option(
    "--samples",
    type=click.Path(exists=True, path_type=Path),
    help="GDC's sample table (sample.tsv) or biospecimen archive. Patients then count as at risk "
    "only from the day on which their specimen was taken.",
)
@_out
@_overwrite
def from_gdc(
    clinical, slides, endpoints, dataset, follow_up, samples, out: Path, overwrite: bool
) -> None:
    """Build a cohort from a GDC clinical export.

    CLINICAL is the archive as downloaded from the GDC portal (.tar.gz), a folder with its tables,
    or the clinical table of an older export. Since 2025 GDC keeps the last follow-up in a separate
    table. The archive contains it; with a single clinical table, add it with --follow-up.

    SLIDES is a GDC manifest or sample sheet. Only its diagnostic slides (-DX, .svs) are used.
    Without SLIDES there is one row per patient, and the column "slide" holds the patient's name.

    Times are in months: GDC's days divided by 30.4375.
    """
    _check_out(out, overwrite)
    from survival.cohort import cohort_from_gdc

    made = cohort_from_gdc(clinical, slides, endpoints, dataset, follow_up, samples)
    _write_made(made, out, slides)


@cohort.command("from-cbioportal")
@click.argument("clinical", type=_file)
@click.argument("slides", type=_file, required=False)
@_endpoints
@click.option("--dataset", help="Name of the dataset.  [default: the project, such as TCGA-SKCM]")
@_out
@_overwrite
def from_cbioportal(clinical, slides, endpoints, dataset, out: Path, overwrite: bool) -> None:
    """Build a cohort from a cBioPortal patient file.

    CLINICAL is the study's file data_clinical_patient.txt. Times are in months. If it says when
    the tumour was removed (SUBMITTED_TUMOR_DX_DAYS_TO), patients count as at risk only from then.

    SLIDES is a GDC manifest or sample sheet. Only its diagnostic slides (-DX, .svs) are used.
    Without SLIDES there is one row per patient, and the column "slide" holds the patient's name.
    """
    _check_out(out, overwrite)
    from survival.cohort import cohort_from_gdc

    _write_made(cohort_from_gdc(clinical, slides, endpoints, dataset), out, slides)


def _write_made(made: GdcCohort, out: Path, slides: Path | None) -> None:
    """Write a cohort built from public files, and list the patients and slides not in it."""
    made.cohort.write(out)
    left_out = [f"{patient} ({why})" for patient, why in made.left_out.items()]
    _list("patient", f"left out ({made.outcomes['left out']})", left_out)
    without_slide = f"without a slide ({made.outcomes['without slide']})"
    _list("patient", without_slide, made.without_slide)
    _list("slide", "without a patient", made.without_patient)
    click.echo(f"{out}: {_size(made.cohort)}; time in months")
    _say_who_enters_late(made.cohort)
    if slides is None:
        click.echo("the column slide holds patient names: replace them with the slides' file names")


@cohort.command()
@click.argument("manifest", type=_file)
@_images
@click.option(
    "--validation",
    default=0.15,
    show_default=True,
    help="Fraction of the patients in the validation split.",
)
@click.option(
    "--test", default=0.15, show_default=True, help="Fraction of the patients in the test split."
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the split.")
@click.option("--again", is_flag=True, help="Replace the split that MANIFEST already has.")
@time_column
@event_column
@event_is
@_out
@_overwrite
def split(
    manifest: Path, images, validation, test, seed, again, time, event, event_is, out, overwrite
) -> None:
    """Split a cohort for training, validation and testing.

    All slides of a patient go into the same split. Patients with and without the event, and those
    of each dataset, are divided in the same proportions. Patients in neither the validation nor
    the test split are used for training.
    """
    _check_out(out, overwrite)
    from survival.cohort import Cohort, split_by_patient
    from survival.cohort.spelling import standard_columns
    from survival.cohort.tables import read_table

    table = read_table(manifest)
    if again:  # The present split is replaced, so it need not be valid.
        table = standard_columns(table, time, event).drop(columns="split", errors="ignore")
    whole = Cohort.from_frame(table, time, event, source=str(manifest), event_is=event_is)
    if whole.split.any():
        raise ValueError(f"{manifest} is already split; give --again to replace its split")
    parts = split_by_patient(whole, validation, test, seed)
    _check_copies(parts, images)
    parts.write(out)
    _print_summary(parts)
    click.echo(f"{out}: {_size(parts)}")


@cohort.command()
@click.argument("manifest", type=_file)
@click.option(
    "--slides",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the slides: every slide must exist in it or its sub-folders. Also finds "
    "copies of a slide under two names.",
)
@_images
@click.option("--dataset", "datasets", multiple=True, help="Check only this dataset; repeatable.")
@time_column
@event_column
@event_is
def check(
    manifest: Path, slides: Path | None, images, datasets, time: str, event: str, event_is
) -> None:
    """Check a cohort and list every problem with its row.

    Exit status: 0 if the cohort can be used (there may be warnings), 2 if it cannot.
    """
    from survival.cohort import Cohort, ManifestError, without_events
    from survival.cohort.duplicates import check_contents, copies_among
    from survival.cohort.spelling import rows_of_datasets
    from survival.cohort.tables import read_table
    from survival.names import find_files

    try:
        table = read_table(manifest)
        if datasets:
            table = rows_of_datasets(table, datasets, str(manifest))
        checked = Cohort.from_frame(
            table, time, event, slides, source=str(manifest), event_is=event_is
        )
    except ManifestError as error:
        for problem in error.problems:
            click.echo(problem.replace("event_is", "--event-is"), err=True)
        found = count(len(error.problems), "problem")
        raise ValueError(f"{manifest} cannot be used: {found}, listed above") from None
    _check_copies(checked, images)
    if slides is not None:
        files = find_files(list(checked.slide), slides)
        check_contents(checked, copies_among([files[slide] for slide in checked.slide]))
    click.echo(f"{manifest}: {_size(checked)}; no problems found")
    _say_who_enters_late(checked)
    if checked.further:
        click.echo(f"other columns, kept unchanged: {', '.join(checked.further)}")
    if not checked.split.any():
        click.echo("the cohort is not split yet: use `survival cohort split`")
    _warn_of(without_events(checked))


@cohort.command()
@click.argument("manifest", type=_file)
@time_column
@event_column
@event_is
@time_unit
@json_option
def summary(manifest: Path, time: str, event: str, event_is, time_unit, as_json: bool) -> None:
    """Print slides, patients, events and follow-up of a cohort.

    One row per dataset and split. Follow-up is the median by the reverse Kaplan–Meier method.
    """
    from survival.cohort import Cohort, summarize, without_events

    whole = Cohort.read(manifest, time, event, need_events=False, event_is=event_is)
    whole = whole.in_unit(time_unit)
    if as_json:
        echo_json(summarize(whole).to_dict("records"))
    else:
        _print_summary(whole)
    _warn_of(without_events(whole))


def _check_copies(rows: Cohort, images: Path | None) -> None:
    """Refuse a slide under two names, if images of the slides are given."""
    if images is not None:
        from survival.cohort.duplicates import check_contents
        from survival.images import CanvasImages

        check_contents(rows, CanvasImages(images, rows.slide).contents)


def _check_out(out: Path, overwrite: bool) -> None:
    check_place(out, overwrite, lambda path: begins_otherwise(path, "slide,patient,"))


def _list(what: str, why: str, names) -> None:
    """List all names: nothing else says which rows of the public files are not in the cohort."""
    if names:
        click.echo(f"{count(len(names), what)} {why}: {', '.join(map(str, names))}", err=True)


def _say_who_enters_late(rows: Cohort) -> None:
    from survival.cohort import summarize

    if late := int(summarize(rows).iloc[-1].enter_late):
        enter = "enters" if late == 1 else "enter"
        click.echo(
            f"{count(late, 'patient')} {enter} late (column entry) and "
            f"{'counts' if late == 1 else 'count'} as at risk only from then on"
        )


def _warn_of(problems: list[str]) -> None:
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)


def _size(rows: Cohort) -> str:
    from survival.cohort import summarize

    total = summarize(rows).iloc[-1]
    sizes = count(total.slides, "slide"), count(total.patients, "patient")
    return f"{sizes[0]} of {sizes[1]}, {total.events} with the event"


def _print_summary(rows: Cohort) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from survival.cohort import summarize

    unit = f"in {rows.time_unit}" if rows.time_unit else "in the time unit of the manifest"
    late = bool(rows.entry.any())
    since = " since entry" if late else ""
    table = Table(
        box=None, caption=Text(f"follow-up: median by reverse Kaplan–Meier{since}, {unit}")
    )
    headings = ["dataset", "split", "slides", "patients", "events", "event rate", "follow-up"]
    if late:
        headings.append("enter late")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i > 1 else "left")
    for row in summarize(rows).itertuples():
        table.add_row(
            Text(row.dataset),  # Not markup: a name may contain brackets.
            Text(row.split),
            f"{row.slides}",
            f"{row.patients}",
            f"{row.events}",
            f"{100 * row.event_rate:.1f} %",
            f"{row.median_follow_up:.1f}" if row.median_follow_up == row.median_follow_up else "–",
            *([f"{row.enter_late}"] if late else []),
        )
    Console(width=100).print(table)
