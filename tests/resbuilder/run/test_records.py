"""A journal with changed entries is refused when it is read, with the line and the reason."""

import json

import pytest

from resbuilder.architecture import minimal_architecture
from resbuilder.costs import cost
from resbuilder.run import UnknownEvent, read_journal

NET = minimal_architecture((8, 8, 1), 3, 4, 2)
SCORES = {"accuracy": 0.5, "loss": None}


def records():
    """Return a start, its three trainings, and a removal that removes nothing."""
    c = cost(NET)
    start = {
        "event": "architecture", "index": 0, "round": 0, "origin": "start", "parent": None,
        "inserted": [], "removed": [], "position": None, "architecture": NET.to_json(),
        "flops": c.flops, "parameters": c.parameters, "activations": c.activations,
        "depth": NET.depth,
    }  # fmt: skip
    training = {
        "event": "training", "index": 0, "epochs": 1, "seconds": 0.5, "finite": True,
        "history": {"loss": [1.5, None]}, "validation": SCORES, "test": SCORES,
    }  # fmt: skip
    removal = {
        "event": "removal", "index": 0, "values": {}, "positions": {}, "threshold": 1e-3,
        "gain": None, "kept_by_momentum": False, "removed": [],
    }  # fmt: skip
    variants = ("with_reg", "no_reg_wi", "no_reg_ri")
    all_of_them = [start, *(training | {"variant": v} for v in variants), removal]
    numbered = [{"n": n, "key": f"step {n}"} | r for n, r in enumerate(all_of_them)]
    return json.loads(json.dumps(numbered))


def write(path, some):
    path.write_text("".join(json.dumps(record) + "\n" for record in some))
    return path


def test_a_valid_journal_is_read(tmp_path):
    path = write(tmp_path / "journal.jsonl", records())
    entries, complete = read_journal(path)
    assert complete == path.stat().st_size
    found = [entry.to_json() for entry in entries]
    assert found == [record | {"time": ""} for record in records()]
    # Unknown events, perhaps of a newer version, are accepted.
    path = write(path, [*records(), {"event": "lunch", "key": "lunch"}])
    assert read_journal(path)[0][-1].event == UnknownEvent("lunch", {})


@pytest.mark.parametrize(
    ("line", "changes", "message"),
    [
        (1, {"flops": "many"}, "'flops' must be a whole number, got 'many'"),
        (1, {"index": 3}, "'index' is 3, but should be 0"),
        (1, {"parent": 0}, "'parent' is 0, which is impossible for 'start'"),
        (1, {"architecture": {}}, "resbuilder.architecture"),
        (1, {"inserted": ["b9"]}, "its architecture has no block b9"),
        (2, {"variant": "../../with_reg"}, "'variant' must be one of with_reg"),
        (2, {"finite": None}, "'finite' must be true or false"),
        (2, {"validation": {"accuracy": "x", "loss": 1}}, "'validation' must be accuracy and loss"),
        (2, {"index": 7}, "its architecture 7 does not exist"),
        (2, {"variant": "no_reg_wi"}, "no training with_reg before it"),
        (2, {"key": "step 0"}, "the step 'step 0' appears twice"),
        (2, {"n": 5}, "its number is 5, but should be 1"),
        (2, {"key": None}, 'it must be an object with the strings "event" and "key"'),
        (5, {"removed": ["b9"]}, "architecture 0 has no block b9"),
        (5, {"threshold": 10**400}, "'threshold' must be a number"),
    ],
)
def test_the_error_names_the_line_of_an_impossible_entry(tmp_path, line, changes, message):
    some = records()
    some[line - 1] |= changes
    path = write(tmp_path / "journal.jsonl", some)
    with pytest.raises(ValueError, match=rf"journal.jsonl, line {line}, .*{message}"):
        read_journal(path)


def test_the_error_names_a_missing_field_or_line(tmp_path):
    for name in ("index", "variant", "epochs", "seconds", "finite", "history", "test"):
        some = records()
        del some[2][name]
        with pytest.raises(ValueError, match=f"line 3, .*it lacks '{name}'"):
            read_journal(write(tmp_path / "journal.jsonl", some))
    some = records()
    del some[1]
    with pytest.raises(ValueError, match="line 2, .*its number is 2, but should be 1"):
        read_journal(write(tmp_path / "journal.jsonl", some))
    path = tmp_path / "journal.jsonl"
    path.write_text("[" * 10_000 + "\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1, .*nested too deeply"):
        read_journal(path)
