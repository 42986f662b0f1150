"""Which predictions are evaluated together, and with which training data."""

import numpy as np
import pandas as pd
import pytest

from survival.report.blocks import Scores, make_blocks
from survival.report.settings import open_runs, settings_rows


def blocks_of(*folders):
    return make_blocks(open_runs(folders))


def test_runs_that_differ_only_in_their_data_form_a_block(make_run, slides):
    a, b = slides("A"), slides("B", 60)
    folders = [
        make_run("a", a),
        make_run("b", b, kept_epoch=3, images="/elsewhere", versions={"keras": "3.16"}),
        make_run("a_penalty", a, mean_penalty=0.1),
        make_run("b_penalty", b, mean_penalty=0.1),
    ]
    blocks = blocks_of(*folders)
    assert [block.title for block in blocks] == ["λ = 0", "λ = 0.1"]
    assert [[part.run for part in block.parts] for block in blocks] == [
        ["a", "b"],
        ["a_penalty", "b_penalty"],
    ]
    assert blocks[0].datasets == ["A", "B"]
    for part in blocks[0].parts:
        assert set(part.test["split"]) == {"test"} and set(part.train["split"]) == {"train"}
        assert set(part.test["dataset"]) == {part.dataset} == set(part.train["dataset"])
    rows = settings_rows(open_runs(folders))
    assert {row["name"] for row in rows if row["differs"]} == {
        "mean_penalty",
        "datasets",
        "kept_epoch",
        "versions.keras",
    }


def test_two_networks_for_one_dataset_are_refused(make_run, slides):
    folders = [make_run("one", slides("A")), make_run("two", slides("A", 60))]
    with pytest.raises(ValueError, match="one and two have the same settings .* dataset 'A'"):
        blocks_of(*folders)


def test_runs_with_different_endpoints_are_separate(make_run, slides):
    endpoints = {"a": ("mss", slides("A")), "b": ("rfs", slides("B", 60))}
    folders = [
        make_run(name, table, time_column=f"{end}_time", event_column=f"{end}_event")
        for name, (end, table) in endpoints.items()
    ]
    blocks = blocks_of(*folders)
    assert [[part.run for part in block.parts] for block in blocks] == [["a"], ["b"]]
    assert "time column = mss_time" in blocks[0].title


def test_censoring_of_a_test_only_dataset_is_estimated_from_itself(make_run, slides):
    both = pd.concat([slides("A"), slides("B", 60).assign(split="test")])
    (block,) = blocks_of(make_run("a", both))
    a, b = block.parts
    assert (a.dataset, b.dataset) == ("A", "B")
    assert len(a.censoring) == a.train["patient"].nunique()
    assert len(b.censoring) == b.test["patient"].nunique() == 60


def test_runs_are_named_by_the_shortest_unique_end_of_their_paths(make_run, slides):
    folders = [make_run(f"{name}/seed0", slides(name)) for name in "AB"]
    assert list(open_runs(folders)) == ["A/seed0", "B/seed0"]
    assert list(open_runs(folders[:1])) == ["seed0"]
    with pytest.raises(ValueError, match="is given 2 times"):
        open_runs([folders[0], folders[0] / ".." / "seed0"])


def test_evaluations_form_a_block_with_the_runs_own_test_slides(make_run, slides):
    split, more = slides("B", 60), slides("B", 180)
    evaluations = {"whole": slides("C", 120, split=False), "split": split, "further": more}
    (block,) = blocks_of(make_run("a", slides("A"), evaluations))
    assert block.title == "a on other cohorts" and not block.notes
    sizes = {part.dataset: len(part.test) for part in block.parts}
    tested = int((split["split"] == "test").sum())
    own = int((slides("A")["split"] == "test").sum())
    assert sizes == {"A": own, "B": tested, "B (split)": tested, "C": 72}
    # All of them use the slides that the network was trained on.
    assert all(set(part.train["dataset"]) == {"A"} for part in block.parts)


def test_a_note_about_an_evaluation_of_other_columns(make_run, slides):
    other = slides("B", 60).assign(time_column="rfs_time", event_column="rfs_event")
    same = slides("C", 120).assign(time_column="time", event_column="event")
    run = make_run(
        "a", slides("A"), {"b": other, "c": same}, time_column="time", event_column="event"
    )
    (block,) = blocks_of(run)
    (note,) = block.notes
    assert "trained on the columns time and event, but b is evaluated on rfs_time and rfs" in note


def test_no_patient_counts_twice(make_run, slides):
    a, b = slides("A"), slides("B", 60)
    renamed = b.assign(dataset="B again", patient="Q" + b["patient"])
    for n, (other, patients) in enumerate(((b, 30), (b.iloc[40:], None), (renamed, 30))):
        evaluations = {"first": b, "second": other}
        with pytest.raises(ValueError, match="of the evaluation second are also in") as error:
            blocks_of(make_run(f"a{n}", a, evaluations))
        said = str(error.value)
        assert "also in the evaluation first" in said and "evaluations/second.csv" in said
        assert patients is None or f"{patients} of {patients} patients" in said
    with pytest.raises(
        ValueError, match="patients of the evaluation both are also in the test split"
    ):
        blocks_of(make_run("own", a, {"both": pd.concat([a, b])}))
    # The same patients on another scanner are different slides.
    blocks_of(make_run("scanners", a, {"b": b, "c": slides("C", 60)}))


def test_settings_show_no_folders_of_this_computer(make_run, slides):
    rows = settings_rows(open_runs([make_run("a", slides("A"), images="/home/me/secret/a")]))
    assert [row["values"] for row in rows if row["name"] == "images"] == [["a"]]


def test_a_note_about_patients_known_from_the_training(make_run, slides):
    same_patients = slides("B", 0, split=False)
    (block,) = blocks_of(make_run("a", slides("A"), {"rescanned": same_patients}))
    (note,) = block.notes
    assert "30 of 60 patients of rescanned" in note


def test_strata_are_evaluated_with_their_own_training_data(make_run, slides):
    both = pd.concat([slides("A"), slides("B", 60)])
    evaluations = {"other": slides("C", 120, split=False)}
    (block,) = blocks_of(make_run("both", both, evaluations, strata=True))
    trained = {part.dataset: set(part.train["dataset"]) for part in block.parts}
    assert trained == {"A": {"A"}, "B": {"B"}, "C": set()}


def test_runs_that_cannot_be_evaluated_are_left_out_with_a_note(make_run, slides):
    diverged = slides("A").assign(log_hazard=np.nan)
    untested = slides("B", 60)
    untested = untested[untested["split"] != "test"]
    good = slides("C", 120)
    (block,) = blocks_of(make_run("a", diverged), make_run("b", untested), make_run("c", good))
    assert block.datasets == ["C"]
    assert any("a: 36 of 36 risk scores of test slides are not finite" in n for n in block.notes)
    assert any(n.startswith("b: this run has no test split") for n in block.notes)


def test_one_row_per_patient_and_dataset(make_run, slides):
    scanned_twice = slides("A"), slides("B", offset=3.0)
    (block,) = blocks_of(make_run("a", scanned_twice[0]), make_run("b", scanned_twice[1]))
    rows = Scores.of_slides(block)
    assert len(rows.risk) == 72
    patients = {how: rows.of_patients(how) for how in ("mean", "max")}
    for dataset, slides_of in zip("AB", scanned_twice, strict=True):
        tested = slides_of[slides_of["split"] == "test"].groupby("patient")["log_hazard"]
        for how, scores in patients.items():
            of_dataset = scores.dataset == dataset
            got = dict(zip(scores.patient[of_dataset], scores.risk[of_dataset], strict=True))
            assert got == pytest.approx(dict(getattr(tested, how)()))
