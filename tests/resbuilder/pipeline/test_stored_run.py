"""A run of version 0.1.0 can be read, reported and resumed."""

import json
import re
import shutil
from pathlib import Path

import keras
import pytest

from resbuilder import resume
from resbuilder.report import read_history, summary_rows, write_report
from resbuilder.report.decisions import decisions
from resbuilder.run import Journal, TrainingEvent, Winner, read_journal

STORED = Path(__file__).parents[2] / "fixtures" / "run_0_1_0"
# Lines of the journal when the models were copied: before LayerLasso judged the second network.
INTERRUPTED = 10

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search was begun on TensorFlow"
)


@pytest.fixture
def stored(tmp_path):
    """A copy of the run: digits, one round with one insertion, which LayerLasso removes."""
    return Path(shutil.copytree(STORED, tmp_path / "run"))


def test_its_journal_is_read_without_loss(stored):
    file = stored / "journal.jsonl"
    entries, complete = read_journal(file)
    assert complete == file.stat().st_size
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [entry.to_json() for entry in entries] == lines
    assert [list(entry.to_json()) for entry in entries] == [list(line) for line in lines]


def test_it_can_be_reported(stored):
    history = read_history(stored)
    assert [row["origin"] for row in summary_rows(history)] == [
        "start", "insertion", "removal", "morphnet"
    ]  # fmt: skip
    assert history.finished.best == Winner(3, "no_reg_wi", 0.125, 0.10027854889631271)
    best = history.best()
    assert (best.label, best.validation) == ("#3 No Reg WI", 0.125)
    kinds = [decision.kind for decision in decisions(history)]
    assert kinds == [
        "Start", "LayerLasso", "Insert", "LayerLasso", "Remove", "MorphNet", "Resize", "Finished"
    ]  # fmt: skip
    page = write_report(stored).read_text()
    assert re.search(r"The best network within the budget is <b>#3 No Reg WI</b>", page)


@on_tensorflow
@pytest.mark.slow
def test_it_is_resumed_where_it_was_interrupted(stored):
    journal = stored / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:INTERRUPTED]))
    assert "unfinished" in write_report(stored).read_text()
    result = resume(stored)
    assert journal.read_bytes().splitlines(keepends=True)[:INTERRUPTED] == lines[:INTERRUPTED]
    resumed, whole = Journal(journal), [json.loads(line) for line in lines]
    assert [(entry.event.name, entry.key) for entry in resumed.entries] == [
        (line["event"], line["key"]) for line in whole
    ]
    assert [list(entry.to_json()) for entry in resumed.entries] == [list(line) for line in whole]
    highest = max(
        event.validation.accuracy
        for event in resumed.of(TrainingEvent)
        if event.variant != "with_reg"
    )
    assert result.best.accuracy_validation == highest and result.model() is not None


@on_tensorflow
def test_a_finished_run_is_resumed_without_a_training(stored):
    before = (stored / "journal.jsonl").read_bytes()
    result = resume(stored)
    assert (result.best.index, result.reason) == (3, "all rounds are done")
    assert (stored / "journal.jsonl").read_bytes() == before


@on_tensorflow
def test_a_run_whose_data_have_moved_says_where_to_change_their_place(stored, tmp_path):
    settings = json.loads((stored / "config.json").read_text())
    gone = settings | {"data_dir": str(tmp_path / "gone")}
    (stored / "config.json").write_text(json.dumps(gone))
    with pytest.raises(ValueError, match=r"not a folder.* have moved, change .* in .*config\.json"):
        resume(stored)
    (stored / "config.json").write_text(json.dumps(settings | {"data_dir": str(tmp_path)}))
    assert resume(stored).best.index == 3
