"""``survival evaluate``: how far a network's risks carry over to other slides."""

from __future__ import annotations

from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Command, echo_json, json_option
from survival.cli.options import cohort_options, read_cohort


@click.command(cls=Command)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@cohort_options("slides, patients and follow-up")
@click.option("--name", help="What the evaluation is called.  [the manifest's name]")
@click.option("--overwrite", is_flag=True, help="Replace an evaluation of that name.")
@json_option
def evaluate(
    run, manifest, images, datasets, time, event, event_is, time_unit, name, overwrite, as_json
) -> None:
    """Predict the slides of MANIFEST with the network of RUN, and say how good that is.

    All slides are predicted; those of the split "test" are judged, or all, if there is none. The
    predictions go to RUN/evaluations, where `survival report RUN` finds them.
    """
    # Only what is judged needs events.
    cohort = read_cohort(manifest, datasets, time, event, event_is, time_unit, need_events=False)
    tested = cohort.split == "test"
    if not cohort.event[tested if tested.any() else slice(None)].any():
        what = "split 'test' has" if tested.any() else "the cohort has"
        raise ValueError(f"{manifest}: {what} no event, so nothing can be compared in it")
    load_backend()
    from survival.cli.progress import PredictionProgress
    from survival.cli.scores import print_scores, scores
    from survival.evaluation import evaluate as evaluate_network
    from survival.run import EVALUATIONS, Run, judged, known_patients

    finished = Run(run)
    name = name or "-".join([manifest.stem, *datasets])
    out = run / EVALUATIONS / f"{name}.csv"
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; give --overwrite to replace it, or another --name")
    with PredictionProgress() as progress:
        table = evaluate_network(finished, cohort, images, name, [progress])
    rows = judged(table)
    if known := known_patients(finished.predictions, rows):
        click.echo(
            f"Warning: {len(known)} of {rows['patient'].nunique()} patients have the name "
            "of one whom this network was trained or chosen on; if they are the same people, the "
            "scores are too good",
            err=True,
        )
    trained_on = [finished.settings.get(key) for key in ("time_column", "event_column")]
    if trained_on != [time, event]:
        click.echo(
            f"Warning: the network was trained on {' and '.join(map(str, trained_on))}, and is "
            f"judged by {time} and {event}",
            err=True,
        )
    which = "all" if len(rows) == len(table) else "test"
    try:
        found = scores(table)
    except ValueError as error:
        found = None
        click.echo(f"Warning: no scores: {error}", err=True)
    if as_json:
        listed = None if found is None else found.to_dict("records")
        return echo_json({"predictions": str(out), "judged": which, "scores": listed})
    if found is not None:
        print_scores(found, which)
    click.echo(f"predictions: {out}")
