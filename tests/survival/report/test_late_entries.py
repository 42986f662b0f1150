"""A report of patients who enter observation late."""

import re

import numpy as np
import pytest

from survival.metrics import harrell_c
from survival.report import write_report
from survival.report.blocks import Block, make_blocks
from survival.report.risk_groups import kaplan_meier_pictures
from survival.run import Run, follow_up


def late(table, share=0.6):
    """Return a table in which every third patient entered after a share of the follow-up."""
    number = table["patient"].str[1:].astype(int)
    return table.assign(entry=np.where(number % 3 == 0, share * table["time"], 0.0))


@pytest.fixture
def block(make_run, slides):
    """Return one block: A with late entries, B without."""
    runs = {"a": make_run("a", late(slides("A"))), "b": make_run("b", slides("B", 60))}
    (block,) = make_blocks({name: Run(folder) for name, folder in runs.items()})
    return block


def test_the_page_counts_from_the_entry_and_says_what_is_left_out(tmp_path, make_run, slides):
    table = late(slides("A"))
    out = tmp_path / "report.html"
    write_report([make_run("a", table, {"b": slides("B", 60)})], out, repeats=2)
    text = " ".join(re.sub("<[^>]*>", " ", out.read_text()).split())
    assert "A: 10 of 30 patients enter observation late (column entry)" in text
    for measure in ("Uno&#39;s C", "The time-dependent AUROC", "Calibration"):
        assert f"A: {measure} is not defined with delayed entry (" in text
        assert f"B: {measure}" not in text.replace("B: Uno&#39;s C weighs", "")
    test = table[table["split"] == "test"]
    c = harrell_c(follow_up(test), test["log_hazard"])
    ignored = harrell_c(test[["time", "event"]], test["log_hazard"])
    assert f"{c:.3f}" in text and f"{c:.3f}" != f"{ignored:.3f}"


def test_datasets_with_and_without_entries_are_combined(block):
    assert isinstance(block, Block) and len(block.notes) == 1
    pictures, reasons = kaplan_meier_pictures(block, 2, "months")
    assert [p.alt.split(".")[0] for p in pictures] == [
        f"Kaplan–Meier curves, {name}" for name in ("A", "B", "all datasets")
    ]
    assert not reasons


def test_an_invalid_entry_is_refused(make_run, slides):
    with pytest.raises(ValueError, match="an entry is neither 0 nor a number before the time"):
        _ = Run(make_run("a", late(slides("A"), share=1.0))).predictions
