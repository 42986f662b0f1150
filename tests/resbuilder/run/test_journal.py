"""The journal: steps are done once, a cut line is dropped, a damaged one is named."""

import json
import os

import pytest

from resbuilder.run.journal import Journal, read_records


def test_a_step_is_done_once_also_after_reopening(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"value": (1, 2), "name": "größer"}

    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.step("thing", "thing 0", compute)
    assert journal.step("thing", "thing 0", compute) is first
    again = Journal(tmp_path / "journal.jsonl").step("thing", "thing 0", compute)
    assert len(calls) == 1
    # The running program sees what a resumed one reads: JSON's types, not Python's.
    assert first == again and first["value"] == [1, 2]


@pytest.mark.faults
def test_a_line_cut_short_is_dropped_with_a_warning_at_every_byte(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for i in range(2):
        journal.step("thing", f"thing {i}", lambda i=i: {"i": i})
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first + 1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="middle of a line"):
            recovered = Journal(path)
        assert [r["key"] for r in recovered.records] == ["thing 0"]
        recovered.step("thing", "thing 1", lambda: {"i": 1})
        assert [r["i"] for r in read_records(path)[0]] == [0, 1]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for i in range(3):
        journal.step("thing", f"thing {i}", dict)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + '{"event": "thi\n' + lines[2])
    with pytest.raises(ValueError, match="line 2"):
        Journal(path)


def test_numbers_that_json_has_not_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with pytest.raises(ValueError):
        journal.step("thing", "thing 0", lambda: {"loss": float("nan")})
    assert not path.exists() and journal.records == []


@pytest.mark.faults
def test_a_write_that_fails_leaves_whole_lines_only(tmp_path, monkeypatch):
    """As on a disk that fills up: the line may be half there when the error comes."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.step("thing", "thing 0", dict)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        journal.step("thing", "thing 1", dict)
    monkeypatch.undo()
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["thing 0"]
    journal.step("thing", "thing 1", dict)
    assert [r["n"] for r in read_records(path)[0]] == [0, 1]
