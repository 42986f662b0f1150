"""``survival evaluate``: how well a network's risk scores carry over to other slides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, echo_json, json_option
from resbuilder.common.replacing import begins_otherwise, check_place
from survival.cli.options import cohort_options, read_cohort

if TYPE_CHECKING:
    import pandas as pd


@click.command(cls=Command)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@cohort_options("slides, patients and follow-up")
@click.option(
    "--name",
    help="Name of the evaluation.  [default: file name of the manifest, and the chosen datasets]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing evaluation of that name.")
@json_option
def evaluate(
    run, manifest, images, datasets, time, event, event_is, time_unit, name, overwrite, as_json
) -> None:
    """Compute and evaluate risk scores for other slides with a trained network.

    RUN is the output folder of `survival train`. Every slide of the manifest gets a risk score;
    a higher score means a higher risk. C-index and AUROC are computed on the split "test", or on
    all slides if the manifest has no split "test". For patients with several slides, a second
    table evaluates the mean of each patient's scores.

    The scores are written to RUN/evaluations, where `survival report RUN` finds them.
    """
    # Only the slides that are evaluated need events.
    cohort = read_cohort(manifest, datasets, time, event, event_is, time_unit, need_events=False)
    tested = cohort.split == "test"
    if not cohort.event[tested if tested.any() else slice(None)].any():
        what = "split 'test' has" if tested.any() else "the cohort has"
        raise ValueError(f"{manifest}: {what} no event, so risk scores cannot be evaluated on it")
    load_backend()
    from survival.cli.keras_progress import PredictionProgress
    from survival.cli.scores import print_scores, scores, scores_by_patient
    from survival.evaluation import evaluate as evaluate_network
    from survival.run import EVALUATIONS, HEADERS, Run, judged, known_patients

    finished = Run(run)
    name = name or "-".join([manifest.stem, *datasets])
    out = run / EVALUATIONS / f"{name}.csv"
    if out.exists():
        instead = "give --overwrite to replace it, or another --name"
        check_place(out, overwrite, lambda path: begins_otherwise(path, *HEADERS), instead)
    with PredictionProgress() as progress:
        table = evaluate_network(finished, cohort, images, name, [progress])
    rows = judged(table)
    if known := known_patients(finished.predictions, rows):
        click.echo(
            f"Warning: {len(known)} of {rows['patient'].nunique()} patients have the same name "
            "as a patient in the network's training or validation split; if they are the same "
            "people, the results are too optimistic",
            err=True,
        )
    trained_on = [finished.settings.get(key) for key in ("time_column", "event_column")]
    if trained_on != [time, event]:
        click.echo(
            "Warning: the network was trained on the columns "
            f"{' and '.join(map(str, trained_on))}, but is evaluated on {time} and {event}",
            err=True,
        )
    which = "all" if len(rows) == len(table) else "test"
    found = _evaluated(scores, table, "slides")
    # Without scores of slides, those of patients would fail for the same reason.
    of_patients = None if found is None else _evaluated(scores_by_patient, table, "patients")
    if as_json:
        listed, patients = (t if t is None else t.to_dict("records") for t in (found, of_patients))
        return echo_json(
            {"predictions": str(out), "judged": which, "scores": listed, "by_patient": patients}
        )
    for rows in (found, of_patients):
        if rows is not None:
            print_scores(rows, which)
    click.echo(f"risk scores: {out}")


def _evaluated(scores: Callable, predictions: pd.DataFrame, of: str) -> pd.DataFrame | None:
    """Return a table of scores, None if there is none, after warnings of what is not defined."""
    from survival.cli.scores import undefined

    try:
        found = scores(predictions)
    except ValueError as error:
        click.echo(f"Warning: no C-index and AUROC of {of}: {error}", err=True)
        return None
    for line in undefined(found) if found is not None else ():
        click.echo(f"Warning: {of} of {line}", err=True)
    return found
