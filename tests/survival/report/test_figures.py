"""What the figures show, checked by their alternative texts."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from survival.metrics import Interval, harrell_c, within_dataset_c
from survival.report.blocks import Block, Part, follow_up
from survival.report.calibration import calibration_picture
from survival.report.discrimination import (
    TOGETHER,
    Line,
    Table,
    discrimination_table,
    leading_table,
    score_rows,
)
from survival.report.distributions import distribution_picture
from survival.report.finding import finding
from survival.report.risk_groups import kaplan_meier_pictures


def exponential(n=600, offset=0.0, seed=0):
    """Return survival with hazard 0.02·exp(h), where the network predicts h plus an offset."""
    random = np.random.default_rng(seed)
    h = random.normal(size=n)
    time, censored = random.exponential(50 * np.exp(-h)), random.uniform(10, 150, n)
    return pd.DataFrame(
        {
            "slide": [f"{i}.svs" for i in range(n)],
            "patient": [f"{seed}-{i}" for i in range(n)],
            "time": np.minimum(time, censored),
            "event": (time <= censored).astype(int),
            "log_hazard": h + offset,
        }
    )


def block_of(*tests, train=None):
    parts = [
        Part(name, "run", test, test if train is None else train, follow_up(test))
        for name, test in zip("ABC", tests, strict=False)
    ]
    return Block("block", parts)


def judge(block, horizon=30.0, repeats=20):
    """Return the leading table of a block, and its scores by the names of the lines."""
    patients = score_rows(block)["mean"]
    table = discrimination_table(block, "mean", patients, repeats, 0)
    leading = leading_table(block, table, patients, horizon, repeats, 0)
    return leading, {line.name: line.scores for line in leading.lines}


def test_the_table_shows_the_cost_of_offsets():
    block = block_of(exponential(60), exponential(60, offset=4.0, seed=1))
    (patients,) = score_rows(block).values()  # one slide per patient
    table, scores = judge(block)
    assert list(scores) == ["A", "B", *TOGETHER.values()]
    within, merged = (scores[TOGETHER[way]]["harrell"].value for way in ("within", "merged"))
    dataset = patients.dataset.astype(str)
    assert within == within_dataset_c(patients.y_true, patients.risk, dataset)
    assert merged == harrell_c(patients.y_true, patients.risk)
    cost = re.search(r"of merged, unchanged scores: \+(\d\.\d{3}) \(\+", table.cost)
    assert float(cost[1]) == pytest.approx(within - merged, abs=6e-4) and within - merged > 0.05


def test_a_dataset_without_events_does_not_affect_the_other_rows():
    block = block_of(exponential(60), exponential(40, seed=1).assign(event=0))
    table, scores = judge(block, repeats=5)
    assert not scores["B"] and scores["A"].keys() == {"uno", "timed", "harrell", "auroc"}
    assert scores["A"]["uno"].value > 0.6 and scores["A"]["timed"].value > 0.6
    # The reason is given once.
    (reason,) = table.reasons
    assert reason.startswith("B: no C-index: no two patients can be compared")
    # Also the rows of both datasets together, and what merging costs.
    patients = score_rows(block)["mean"]
    for way in TOGETHER.values():
        assert scores[way].keys() == {"harrell", "auroc"}
    assert scores[TOGETHER["merged"]]["harrell"].value == harrell_c(patients.y_true, patients.risk)
    assert "Harrell's C of pairs within datasets minus" in table.cost
    assert [line.events for line in table.lines if line.name == "B"] == [0]
    said = finding(table, block.datasets)
    assert "is better than chance on A (Uno's C" in said and "cannot be evaluated on B" in said


def test_no_interval_with_few_events():
    few = exponential(60)
    few.loc[few.index[few["event"] == 1][4:], "event"] = 0  # 4 patients with the event
    block = block_of(few, exponential(60, seed=1))
    table, scores = judge(block)
    assert all(np.isnan(score.low) for score in scores["A"].values())
    assert scores["A"]["harrell"].value == harrell_c(few[["time", "event"]], few["log_hazard"])
    assert all(score.low < score.value < score.high for score in scores["B"].values())
    assert "cannot be evaluated on A (4 patients with the event, fewer than 5)" in finding(
        table, ["A"]
    )
    # For an early AUROC only early events count.
    early = np.sort(second_events := block.parts[1].test.query("event == 1")["time"])[3]
    assert len(second_events) > 5
    assert np.isnan(judge(block, early)[1]["B"]["timed"].low)
    # The log-rank test is omitted, too.
    pictures, _ = kaplan_meier_pictures(block, groups=2, unit=None)
    assert "no log-rank test: fewer than 5 events" in pictures[0].alt
    _, reasons = calibration_picture(block, horizon=30.0, unit=None)
    assert any(reason.startswith("A: gray, because fewer than 5") for reason in reasons)


def test_an_unsuitable_horizon_is_explained():
    block = block_of(exponential(60))
    end = block.parts[0].test["time"].max()
    for horizon, advice in ((end, "choose an earlier time"), (1e-9, "that time or a later one")):
        table, scores = judge(block, horizon, repeats=5)
        assert "timed" not in scores["A"] and "uno" in scores["A"]
        assert advice in table.reasons[0]


def test_the_finding_follows_from_the_intervals():
    def line(name, *interval, measure="uno"):
        return Line(name, 50, 20, {measure: Interval(*interval, 1000)})

    lines = [
        line("A", 0.7, 0.6, 0.8),
        line("B", 0.6, 0.45, 0.75),
        line("C", 0.3, 0.2, 0.4, measure="harrell"),
        line("both", 0.9, 0.8, 0.95),
    ]
    assert finding(Table("", "mean", lines), ["A", "B", "C"]) == (
        "The order of patients by risk score is better than chance on A (Uno's C 0.700, 95 % "
        "interval 0.600 to 0.800), is not distinguishable from chance on B (Uno's C 0.600, 95 % "
        "interval 0.450 to 0.750) and is reversed on C (Harrell's C 0.300, 95 % interval 0.200 to "
        "0.400)."
    )


def test_datasets_keep_their_scores_in_any_order():
    good = exponential(60)
    bad = exponential(60, seed=1).assign(log_hazard=lambda t: -t["log_hazard"])
    block = Block("block", block_of(bad, good).parts[::-1])  # B, which is good, comes first
    _, scores = judge(block, repeats=5)
    assert list(scores)[:2] == ["B", "A"]
    for measure in ("uno", "harrell"):
        assert scores["B"][measure].value > 0.6 and scores["A"][measure].value < 0.4


def test_risk_groups_use_thresholds_of_the_training_patients():
    train = exponential(offset=0.0)
    shifted = exponential(200, offset=10.0, seed=1)  # another scanner: all above the threshold
    block = block_of(exponential(200, seed=2), shifted, train=train)
    pictures, reasons = kaplan_meier_pictures(block, groups=2, unit="months")
    assert not reasons and len(pictures) == 3
    a, b, both = (picture.alt for picture in pictures)
    low, high = (int(re.search(rf"{g} risk: (\d+) patients", a)[1]) for g in ("low", "high"))
    assert low + high == 200 and 80 < low < 120 and "p < 0.001" in a
    assert "high risk: 200 patients" in b and "low risk" not in b and "no log-rank test" in b
    few = exponential(12).assign(log_hazard=[-9.0] * 4 + [9.0] * 8)
    (picture,), _ = kaplan_meier_pictures(block_of(few, train=train), groups=2, unit="months")
    assert "no log-rank test: a group has fewer than 5 patients" in picture.alt
    assert f"high risk: {high + 200} patients" in both
    # The same people on two scanners must not count twice.
    again = block_of(exponential(200, seed=2), train=train)
    again.parts.append(replace(again.parts[0], dataset="again"))
    pictures, reasons = kaplan_meier_pictures(again, groups=2, unit="months")
    assert len(pictures) == 2
    assert reasons == [
        "all datasets together: no figure, because 200 patients with the same name in two datasets "
        "would count twice."
    ]
    pictures, reasons = kaplan_meier_pictures(
        block_of(shifted, train=train[:0]), groups=2, unit="months"
    )
    assert (
        not pictures and "comparable training slides for the thresholds are missing" in reasons[0]
    )


def test_the_true_model_is_calibrated_only_on_its_own_scanner():
    train = exponential(2000, offset=3.0)
    same, shifted = exponential(800, offset=3.0, seed=1), exponential(800, offset=4.0, seed=2)
    picture, reasons = calibration_picture(
        block_of(same, shifted, train=train), horizon=30.0, unit="months"
    )
    assert not reasons
    own, other = (
        np.array(re.findall(r"(\d\.\d+) and (\d\.\d+)", part), float)
        for part in picture.alt.split(": predicted and observed ")[1:]
    )
    assert len(own) == len(other) == 4
    np.testing.assert_allclose(own[:, 0], own[:, 1], atol=0.08)
    assert (other[1:3, 1] - other[1:3, 0] > 0.1).all()  # more survive than predicted


def test_calibration_says_why_it_is_missing():
    few = exponential(9)
    picture, reasons = calibration_picture(
        block_of(few, exponential(60)), horizon=30.0, unit="months"
    )
    assert "B: predicted" in picture.alt and reasons == [
        "A: 9 patients to evaluate, too few for 2 groups of 5."
    ]
    picture, reasons = calibration_picture(block_of(exponential(60)), horizon=1e4, unit="months")
    assert picture is None and "choose an earlier time with --horizon" in reasons[0]


def test_distributions_of_equal_scores():
    constant = exponential(20).assign(log_hazard=1.5)
    picture = distribution_picture(block_of(constant, exponential(20, seed=1)))
    assert "A: 20 slides" in picture.alt and "mean 1.50, standard deviation 0.00" in picture.alt
    kaplan_meier, reasons = kaplan_meier_pictures(block_of(constant), groups=2, unit="months")
    assert not kaplan_meier and "with 1 different value" in reasons[0]
