"""The journal: steps are executed once, an incomplete line is dropped, a damaged one is named."""

import json
import os

import pytest

from resbuilder.run import (
    DataEvent,
    Event,
    ExhaustedEvent,
    FinishedEvent,
    Journal,
    Winner,
    read_journal,
)


def exhausted(round: int):
    return lambda: ExhaustedEvent(round=round)


def fill(path, count: int) -> Journal:
    """Return a journal with this many steps."""
    journal = Journal(path)
    for n in range(count):
        journal.step(ExhaustedEvent, f"exhausted {n}", exhausted(n))
    return journal


def test_a_step_is_executed_once_also_after_reopening(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        winner = Winner(0, "no_reg_ri", 0.5, None)
        return FinishedEvent(
            reason="größer",
            seconds=1.5,
            best=winner,
            best_any_size=winner,
            confusion=((1, 2), (0, 3)),
            class_names=("a", "b"),
        )

    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.step(FinishedEvent, "finished", compute)
    assert journal.step(FinishedEvent, "finished", compute) is first
    assert len(calls) == 1 and first == compute()
    fill(tmp_path / "other.jsonl", 2)
    assert fill(tmp_path / "other.jsonl", 3).entries == Journal(tmp_path / "other.jsonl").entries


def test_a_line_has_number_time_event_and_key_before_the_fields_of_the_event(tmp_path):
    fill(tmp_path / "journal.jsonl", 2)
    line = (tmp_path / "journal.jsonl").read_text().splitlines()[1]
    data = json.loads(line)
    assert list(data) == ["n", "time", "event", "key", "round"]
    assert data.pop("time").endswith("+00:00")
    assert data == {"n": 1, "event": "exhausted", "key": "exhausted 1", "round": 1}


def test_a_step_of_another_kind_is_refused(tmp_path):
    journal = fill(tmp_path / "journal.jsonl", 1)
    data = DataEvent(train=(1,), test=(1,), sha256="")
    with pytest.raises(ValueError, match="'exhausted 0' has an event 'exhausted', expected 'data'"):
        journal.step(DataEvent, "exhausted 0", lambda: data)


def test_the_events_of_a_kind_come_in_order(tmp_path):
    journal = fill(tmp_path / "journal.jsonl", 3)
    journal.step(DataEvent, "data", lambda: DataEvent(train=(1,), test=(1,), sha256=""))
    assert [event.round for event in journal.of(ExhaustedEvent)] == [0, 1, 2]
    assert list(journal.of(Event)) == journal.events and len(journal.events) == 4


@pytest.mark.faults
def test_an_incomplete_line_is_dropped_with_a_warning_wherever_it_ends(tmp_path):
    path = tmp_path / "journal.jsonl"
    fill(path, 2)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first + 1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="middle of a line"):
            recovered = Journal(path)
        assert [entry.key for entry in recovered.entries] == ["exhausted 0"]
        recovered.step(ExhaustedEvent, "exhausted 1", exhausted(1))
        assert [entry.event.round for entry in read_journal(path)[0]] == [0, 1]


def test_the_error_names_a_damaged_line_in_the_middle(tmp_path):
    path = tmp_path / "journal.jsonl"
    fill(path, 3)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"event": "thi\n' + lines[2])
    with pytest.raises(ValueError, match="line 2"):
        Journal(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((float("nan"),), "JSON"), ((-1,), r"'train\[0\]' must be a whole number"), (3, "'train'")],
)
def test_an_invalid_event_is_refused_before_anything_is_written(tmp_path, sizes, message):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with pytest.raises(ValueError, match=message):
        journal.step(DataEvent, "data", lambda: DataEvent(train=sizes, test=(), sha256=""))
    assert not path.exists() and journal.entries == []


@pytest.mark.faults
def test_a_failed_write_leaves_only_complete_lines(tmp_path, monkeypatch):
    """As on a full disk, where half of the line may be written before the error."""
    path = tmp_path / "journal.jsonl"
    journal = fill(path, 1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        journal.step(ExhaustedEvent, "exhausted 1", exhausted(1))
    monkeypatch.undo()
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["exhausted 0"]
    journal.step(ExhaustedEvent, "exhausted 1", exhausted(1))
    assert [entry.n for entry in read_journal(path)[0]] == [0, 1]
