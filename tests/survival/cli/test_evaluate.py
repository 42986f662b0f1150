"""``survival evaluate``: what a cohort needs, and warnings about the results."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from survival.cli import main
from survival.cohort import Cohort
from survival.evaluation import risk_scores
from survival.metrics import cross_dataset_table, harrell_c
from survival.models import vgg_survival_model
from survival.run import HISTORY, MODEL, PREDICTIONS, Run, judged, write_settings


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Return a function that evaluates a random network on 30 slides of two datasets."""
    # A thousand draws of the bootstrap would take most of the time.
    few = partial(cross_dataset_table, repeats=20)
    monkeypatch.setattr("survival.cli.scores.cross_dataset_table", few)
    out, images = tmp_path / "run", tmp_path / "images"
    out.mkdir()
    images.mkdir()
    vgg_survival_model((16, 24, 3), width=0.03, seed=0).save(out / MODEL)
    write_settings(out, {"time_column": "time", "event_column": "event"})
    (out / HISTORY).touch()
    # The training split has a patient who is evaluated here, the validation split another one.
    (out / PREDICTIONS).write_text(
        "slide,patient,dataset,split,time,event,log_hazard,image\n"
        "a.svs,P3,A,train,1,1,0.5,a.png\nb.svs,Q,A,validation,1,1,0.5,b.png\n"
    )
    i = np.arange(30)
    for n in i:
        Image.new("RGB", (24, 16), (8 * int(n), 100, 100)).save(images / f"s{n}.png")

    def call(event, *options, **columns):
        slides, patients = ([f"{c}{n}{end}" for n in i] for c, end in (("s", ".svs"), ("P", "")))
        split = np.where(i < 20, "test", np.where(i < 25, "train", "validation"))
        cohort = Cohort(slides, patients, 1.0 + i % 7, event, np.where(i % 2, "A", "B"), split)
        cohort.write(tmp_path / "cohort.csv")
        table = pd.read_csv(tmp_path / "cohort.csv")
        table = table.assign(rfs_time=table["time"], rfs_event=table["event"], **columns)
        table.to_csv(tmp_path / "cohort.csv", index=False)
        given = ("--manifest", tmp_path / "cohort.csv", "--images", images, "--overwrite")
        return CliRunner().invoke(main, ["evaluate", str(out), *map(str, given), *options])

    return call, out


def test_only_the_slides_to_evaluate_need_events(evaluate):
    call, out = evaluate
    i = np.arange(30)
    result = call((i % 3 == 0) & (i < 20))  # none for training or validation
    assert result.exit_code == 0, result.output
    # 7 of the 20 test slides have the event; 3 of A (s3, s9, s15), too few for an interval.
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "slides with event" in lines["data"]
    assert lines["A"].split()[1:3] == ["10", "3"] and lines["A"].count("(too few events)") == 2
    assert lines["merged"].split()[1:3] == ["20", "7"] and "too few" not in lines["merged"]
    result = call((i == 4) | (i > 20))  # A cannot be evaluated
    assert result.exit_code == 0, result.output
    assert "Warning: slides of A: no C-index: no two patients can be compared" in result.stderr
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert lines["A"].split() == ["A", "10", "0", "–", "–"]
    assert all(lines[name].count("(too few events)") == 2 for name in ("B", "merged", "within"))
    (out / "evaluations" / ".0123456789abcdef.part.csv").write_text("left by a killed process")
    assert list(Run(out).evaluations) == ["cohort"]
    assert len(Run(out).evaluations["cohort"]) == 30
    result = call(i > 20)
    assert result.exit_code == 2 and "split 'test' has no event" in result.stderr


def test_an_evaluation_with_late_entries_is_replaced(evaluate):
    call, out = evaluate
    event = np.arange(30) % 3 == 0
    for _ in range(2):
        result = call(event, entry=0.5)
        assert result.exit_code == 0, result.output
    assert (Run(out).evaluations["cohort"]["entry"] == 0.5).all()


def test_the_c_index_remains_if_everyone_has_the_event(evaluate):
    call, _ = evaluate
    result = call(np.ones(30, bool), "--json")
    scores = {row["data"]: row for row in json.loads(result.stdout)["scores"]}
    assert scores["A"]["c_index"] > 0 and scores["A"]["auroc"] is None
    lines = [line.split() for line in call(np.ones(30, bool)).stdout.splitlines()]
    (line,) = (line for line in lines if line[:1] == ["A"])
    assert line[-1] == "–"


def test_warnings_about_known_patients_and_another_endpoint(evaluate):
    call, out = evaluate
    event = np.arange(30) % 3 == 0
    said = call(event).stderr
    assert (
        "Warning: 1 of 20 patients have the same name as a patient in the network's train" in said
    )
    assert "is evaluated on" not in said
    said = call(event, "--time", "rfs_time", "--event", "rfs_event").stderr
    assert (
        "the network was trained on the columns time and event, but is evaluated on rfs_time and "
        "rfs_event"
    ) in said
    table = Run(out).evaluations["cohort"]
    assert set(table["time_column"]) == {"rfs_time"} and set(table["event_column"]) == {"rfs_event"}


def test_patients_with_several_slides_are_also_evaluated_as_patients(evaluate):
    call, out = evaluate
    number = np.arange(30) // 5
    event = number % 2 == 0
    same = {"time": 1.0 + number, "patient": [f"P{n}" for n in number]}
    read = json.loads(call(event, "--json", **same).stdout)
    rows = {row["data"]: row for row in read["by_patient"]}
    # The test split has four patients with slides in both datasets.
    assert rows["A"]["patients"] == rows["B"]["patients"] == 4
    assert rows["merged"]["patients"] == 8 and rows["merged"]["events"] == 4
    table = judged(Run(out).evaluations["cohort"])
    means = table.groupby(["dataset", "patient"])[["time", "event", "log_hazard"]].mean()
    expected = harrell_c(means[["time", "event"]].to_numpy(), means.log_hazard.to_numpy())
    assert rows["merged"]["c_index"] == pytest.approx(expected)
    said = call(event, **same).stdout
    assert "patients, mean of their test slides" in said
    assert json.loads(call(event, "--json").stdout)["by_patient"] is None  # a slide each


def test_slides_without_follow_up_get_scores(evaluate, tmp_path):
    call, out = evaluate
    call(np.arange(30) % 3 == 0)
    known = Run(out).evaluations["cohort"].set_index("slide").log_hazard
    images = tmp_path / "images"
    run = ("predict", str(out), "--images", str(images))
    said = CliRunner().invoke(main, run)
    assert said.exit_code == 2 and "has no manifest.csv, so its slides are not known" in said.stderr
    (tmp_path / "new.csv").write_text("Slide,age\ns3.svs,50\ns1.svs,60\ns3.svs,50\n")
    listed = (*run, "--slides", str(tmp_path / "new.csv"))
    lines = CliRunner().invoke(main, listed).stdout.splitlines()
    ranked = sorted(("s1.svs", "s3.svs"), key=lambda name: -known[name])
    assert [line.split() for line in lines] == [[f"{known[s]:+.6f}", s] for s in ranked]
    rows = ["s4.svs,s4.png,ok", "s5.svs,,failed", "s6.svs,s6.png,ok"]
    (images / "manifest.csv").write_text("\n".join(["slide,output,status", *rows]) + "\n")
    file = tmp_path / "scores.csv"
    said = CliRunner().invoke(main, (*run, "--csv", str(file), "--json"))
    assert [row["slide"] for row in json.loads(said.stdout)["scores"]] == ["s4.svs", "s6.svs"]
    assert json.loads(said.stdout)["scores"][0]["microns_per_pixel"] is None
    assert pd.read_csv(file).log_hazard.tolist() == known[["s4.svs", "s6.svs"]].tolist()
    again = CliRunner().invoke(main, (*run, "--csv", str(file)))
    assert again.exit_code == 2 and "give --overwrite to replace it" in again.stderr
    again = CliRunner().invoke(main, (*run, "--csv", str(file), "--overwrite"))
    assert again.exit_code == 0 and "risk scores of 2 slides" in again.stdout
    (tmp_path / "new.csv").write_text("name\ns3.svs\n")
    said = CliRunner().invoke(main, listed)
    assert said.exit_code == 2 and "has no column 'slide'; its columns are name" in said.stderr


def test_slides_without_an_image_get_no_score_and_are_named(evaluate, tmp_path):
    _, out = evaluate
    images, file = tmp_path / "images", tmp_path / "scores.csv"
    run = ("predict", str(out), "--images", str(images))
    again = "interrupted: run `survival preprocess` again"
    failed = f"s5.svs,,failed,not a slide\ns7.svs,,failed,{again}\n"
    header = "slide,output,status,reason\n"
    (images / "manifest.csv").write_text(f"{header}s4.svs,s4.png,ok,\n{failed}")
    said = CliRunner().invoke(main, (*run, "--csv", str(file)))
    assert said.exit_code == 0 and "risk scores of 1 slide:" in said.stdout, said.output
    named = f"s5.svs (not a slide), s7.svs ({again})"
    assert f"Warning: 2 slides have no image and get no score: {named}\n" in said.stderr
    said = CliRunner().invoke(main, (*run, "--json"))
    assert json.loads(said.stdout)["without_image"] == [
        {"slide": "s5.svs", "reason": "not a slide"},
        {"slide": "s7.svs", "reason": again},
    ]
    with pytest.warns(UserWarning, match="2 slides have no image and get no score: s5.svs"):
        assert risk_scores(out, images).slide.tolist() == ["s4.svs"]
    # A slide that the user names is not left out.
    (tmp_path / "two.csv").write_text("slide\ns4.svs\ns5.svs\n")
    said = CliRunner().invoke(main, (*run, "--slides", str(tmp_path / "two.csv")))
    assert said.exit_code == 2 and "s5.svs (not a slide)" in said.stderr
    (tmp_path / "two.csv").write_text("slide\ns4.svs\n")
    said = CliRunner().invoke(main, (*run, "--slides", str(tmp_path / "two.csv"), "--json"))
    assert json.loads(said.stdout)["without_image"] == [] and "no image" not in said.stderr
    (images / "manifest.csv").write_text(header + failed)
    said = CliRunner().invoke(main, run)
    assert said.exit_code == 2 and f"lists no slide with an image: {named}; correct" in said.stderr
    (images / "manifest.csv").write_text(header)
    assert "manifest.csv lists no slides" in CliRunner().invoke(main, run).stderr


def test_scores_of_slides_whose_names_are_not_utf8_are_written(evaluate, tmp_path):
    _, out = evaluate
    images, file = tmp_path / "images", tmp_path / "scores.csv"
    (images / "manifest.csv").write_bytes(b"slide,output,status\n\xff.svs,s4.png,ok\n")
    run = ("predict", str(out), "--images", str(images))
    said = CliRunner().invoke(main, (*run, "--csv", str(file)))
    assert said.exit_code == 0, said.output
    assert file.read_bytes().splitlines()[1].startswith(b"\xff.svs,")
    assert "\ufffd.svs" in CliRunner().invoke(main, run).stdout


def test_the_trainings_own_slides_are_refused(evaluate):
    call, out = evaluate
    table = pd.read_csv(out / PREDICTIONS)
    table.loc[0, "slide"] = "s3.svs"  # which is also evaluated here
    table.to_csv(out / PREDICTIONS, index=False)
    result = call(np.arange(30) % 3 == 0)
    assert result.exit_code == 2
    assert "1 of the 20 slides to evaluate (s3.svs) were in the training or validation split" in (
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
    partly = json.loads(call((i == 4) | (i > 20), "--json").stdout)  # A cannot be evaluated
    rows = {row["data"]: row for row in partly["scores"]}
    assert rows["A"]["c_index"] is None and rows["A"]["auroc"] is None
    assert rows["A"]["note"].startswith("no C-index: no two patients can be compared")
    for name in ("B", "merged", "standardized", "within"):
        assert rows[name]["c_index"] >= 0 and rows[name]["auroc"] >= 0 and not rows[name]["note"]
    unjudged = call(np.ones(30, bool), "--json", time=1.0)  # all events at one time
    assert json.loads(unjudged.stdout)["scores"] is None
    assert "Warning: no C-index and AUROC of slides: A: no C-index: " in unjudged.stderr


def test_a_dataset_with_the_name_of_a_combined_row_is_refused_before_the_scores(evaluate):
    call, out = evaluate
    result = call(np.arange(30) % 3 == 0, dataset=np.where(np.arange(30) % 2, "A", "within"))
    assert result.exit_code == 2 and "dataset 'within' has the name of a result" in result.stderr
    assert not (out / "evaluations").exists()


def test_images_of_another_scale_are_evaluated_with_a_warning_and_a_note(evaluate, tmp_path):
    call, out = evaluate
    write_settings(out, {"time_column": "time", "event_column": "event", "microns_per_pixel": 16.0})
    rows = "".join(f"s{n}.svs,s{n}.png,ok,8\n" for n in range(30))
    manifest = "slide,output,status,output_mpp_x\n" + rows
    (tmp_path / "images" / "manifest.csv").write_text(manifest)
    result = call(np.arange(30) % 3 == 0)
    assert result.exit_code == 0, result.output
    said = "have 8 µm per pixel, but the network was trained on images of 16"
    assert said in " ".join(result.stderr.split())
    header = "epoch,loss,val_loss,val_cindex,seconds"
    (out / HISTORY).write_text(f"{header}\n1,0.5,0.5,0.5,1\n")
    written = ("--out", str(tmp_path / "r.html"), "--repeats", "2")
    report = CliRunner().invoke(main, ["report", str(out), *written])
    assert report.exit_code == 0, report.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "trained on images of 16 µm per pixel, but those of cohort have 8" in page


def test_times_whose_unit_may_differ_are_evaluated_with_a_warning(evaluate):
    call, out = evaluate
    event = np.arange(30) % 3 == 0
    assert "unit of time" not in call(event).stderr  # neither states one
    assert "states no unit of time: make sure that" in call(event, "--time-unit", "days").stderr
    settings = {"time_column": "time", "event_column": "event", "time_unit": "Months"}
    write_settings(out, settings)
    assert "trained with times in Months, but the cohort states no unit" in call(event).stderr
    result = call(event, "--time-unit", "months")
    assert result.exit_code == 0 and "unit of time" not in result.stderr
    result = call(event, "--time-unit", "days")
    assert result.exit_code == 2 and "convert them" in result.stderr
    table = pd.read_csv(out / PREDICTIONS)
    known = pd.concat([table.assign(slide=[f"{n}a", f"{n}b"], time=0.1) for n in range(3)])
    known.to_csv(out / PREDICTIONS, index=False)
    said = call(event, "--time-unit", "months").stderr
    assert "the median follow-up is 4 for the cohort, but 0.1 for the network's slides" in said
