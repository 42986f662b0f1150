"""``survival evaluate``: what it needs of a cohort, and what it says about few events."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from survival.cli import main
from survival.cohort import Cohort
from survival.models import vgg_survival_model
from survival.run import HISTORY, MODEL, PREDICTIONS, Run, write_settings


@pytest.fixture
def evaluate(tmp_path):
    """A function that evaluates a network with random weights on 30 slides of two datasets."""
    out, images = tmp_path / "run", tmp_path / "images"
    out.mkdir()
    images.mkdir()
    vgg_survival_model((16, 24, 3), width=0.03, seed=0).save(out / MODEL)
    write_settings(out, {"time_column": "time", "event_column": "event"})
    (out / HISTORY).touch()
    # Trained on a patient who is judged here, too, and on one who is not.
    (out / PREDICTIONS).write_text(
        "slide,patient,dataset,split,time,event,log_hazard,image\n"
        "a.svs,P3,A,train,1,1,0.5,a.png\nb.svs,Q,A,validation,1,1,0.5,b.png\n"
    )
    i = np.arange(30)
    for n in i:
        Image.new("RGB", (24, 16), (8 * int(n), 100, 100)).save(images / f"s{n}.png")

    def call(event, *options):
        slides, patients = ([f"{c}{n}{end}" for n in i] for c, end in (("s", ".svs"), ("P", "")))
        split = np.where(i < 20, "test", np.where(i < 25, "train", "validation"))
        cohort = Cohort(slides, patients, 1.0 + i % 7, event, np.where(i % 2, "A", "B"), split)
        cohort.write(tmp_path / "cohort.csv")
        table = pd.read_csv(tmp_path / "cohort.csv")
        table = table.assign(rfs_time=table["time"], rfs_event=table["event"])
        table.to_csv(tmp_path / "cohort.csv", index=False)
        given = ("--manifest", tmp_path / "cohort.csv", "--images", images, "--overwrite")
        return CliRunner().invoke(main, ["evaluate", str(out), *map(str, given), *options])

    return call, out


def test_only_what_is_judged_needs_events(evaluate):
    call, out = evaluate
    i = np.arange(30)
    result = call((i % 3 == 0) & (i < 20))  # none for training or validation
    assert result.exit_code == 0, result.output
    # Of 20 tested slides 7 have the event, of A 3 (s3, s9, s15), too few for an interval.
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "slides with event" in lines["data"]
    assert lines["A"].split()[1:3] == ["10", "3"] and lines["A"].count("(too few events)") == 2
    assert lines["merged"].split()[1:3] == ["20", "7"] and "too few" not in lines["merged"]
    result = call((i == 4) | (i > 20))  # A cannot be scored, the predictions are there
    assert result.exit_code == 0 and "Warning: no scores: A: " in result.stderr, result.output
    assert len(Run(out).evaluations["cohort"]) == 30
    result = call(i > 20)
    assert result.exit_code == 2 and "split 'test' has no event" in result.stderr


def test_what_makes_scores_too_good_or_of_something_else_is_said(evaluate):
    call, _ = evaluate
    event = np.arange(30) % 3 == 0
    said = call(event).stderr
    assert "Warning: 1 of 20 patients have the name of one whom this network was trained" in said
    assert "is judged by" not in said
    said = call(event, "--time", "rfs_time", "--event", "rfs_event").stderr
    assert (
        "the network was trained on time and event, and is judged by rfs_time and rfs_event" in said
    )


def test_the_trainings_own_slides_are_refused(evaluate):
    call, out = evaluate
    table = pd.read_csv(out / PREDICTIONS)
    table.loc[0, "slide"] = "s3.svs"  # which is judged here, too
    table.to_csv(out / PREDICTIONS, index=False)
    result = call(np.arange(30) % 3 == 0)
    assert result.exit_code == 2
    assert "trained, or its epoch chosen, on 1 of the 20 slides to be judged (s3.svs)" in (
        result.stderr
    )
    assert not (out / "evaluations").exists()


def test_scores_as_json_are_those_of_the_table(evaluate):
    call, out = evaluate
    i = np.arange(30)
    read = json.loads(call((i % 3 == 0) & (i < 20), "--json").stdout)
    assert read["judged"] == "test"
    assert read["predictions"] == str(out / "evaluations" / "cohort.csv")
    rows = {row["data"]: row for row in read["scores"]}
    assert rows["A"]["events"] == 3 and rows["A"]["c_low"] is None  # too few for an interval
    table = call((i % 3 == 0) & (i < 20)).stdout
    merged = rows["merged"]
    shown = f"{merged['c_index']:.3f} ({merged['c_low']:.3f}–{merged['c_high']:.3f})"
    assert shown in table
    unjudged = call((i == 4) | (i > 20), "--json")  # A cannot be scored
    assert json.loads(unjudged.stdout)["scores"] is None and "no scores" in unjudged.stderr
