"""``survival predict``: risk scores for slides without follow-up."""

from __future__ import annotations

from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, echo_json, json_option
from resbuilder.common.replacing import check_table
from resbuilder.common.words import count

# The columns of the table.
SCORES = ("slide", "log_hazard", "microns_per_pixel", "image")


@click.command(cls=Command)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Output folder of `survival preprocess`.",
)
@click.option(
    "--slides",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file with a column 'slide': only these slides.  [default: all in --images "
    "that have an image]",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the scores to this CSV file instead of the terminal.",
)
@click.option("--overwrite", is_flag=True, help="Replace the --csv file if this command wrote it.")
@json_option
def predict(run, images, listed, table, overwrite, as_json) -> None:
    """Compute risk scores for slides without follow-up.

    RUN is the output folder of `survival train`. A score is a log-hazard; a higher score means a
    higher risk. Only differences between scores of one network have a meaning. To compare scores
    with known follow-up, use `survival evaluate`.

    Without --slides, slides whose image `survival preprocess` could not make get no score. A
    warning names them, and --json lists them.
    """
    if table is not None:
        check_table(table, overwrite, SCORES)
    from survival.images import slides_in, warn_without_image

    # A slide of --slides without an image is an error.
    slides, without = slides_in(images) if listed is None else (_listed(listed), {})
    warn_without_image(without)
    load_backend()
    from survival.cli.keras_progress import PredictionProgress
    from survival.evaluation import risk_scores
    from survival.run import write_table

    with PredictionProgress() as progress:
        scores = risk_scores(run, images, slides, [progress])
    if table is not None:
        write_table(table, scores)
    if as_json:
        echo_json(
            {
                "csv": table and str(table),
                "scores": scores.to_dict("records"),
                "without_image": [{"slide": s, "reason": why} for s, why in without.items()],
            }
        )
    elif table is not None:
        click.echo(f"risk scores of {count(len(scores), 'slide')}: {table}")
    else:
        for row in scores.sort_values("log_hazard", ascending=False).itertuples():
            click.echo(f"{row.log_hazard:+.6f}  {click.format_filename(row.slide)}")


def _listed(path: Path) -> list[str]:
    """Return the slides of a table, each once."""
    from survival.cohort.tables import read_slides

    table = read_slides(path)
    if empty := [str(line) for line, slide in table["slide"].items() if not slide]:
        raise ValueError(f"{path}: the cell of column 'slide' is empty in line {empty[0]}")
    return list(dict.fromkeys(table["slide"]))
