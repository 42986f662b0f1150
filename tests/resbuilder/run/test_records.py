"""A journal whose records were changed is refused where it is read, with line and reason."""

import json

import pytest

from resbuilder.architecture import minimal_architecture
from resbuilder.costs import cost
from resbuilder.run import UnknownEvent, read_journal

NET = minimal_architecture((8, 8, 1), 3, 4, 2)
SCORES = {"accuracy": 0.5, "loss": None}


def records():
    """A start, its three trainings, and a removal that removes nothing."""
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


def test_what_a_search_writes_is_read(tmp_path):
    path = write(tmp_path / "journal.jsonl", records())
    entries, whole = read_journal(path)
    assert whole == path.stat().st_size
    told = [entry.to_json() for entry in entries]
    assert told == [record | {"time": ""} for record in records()]
    # Of a newer version, perhaps: what is not known is nobody's business here.
    path = write(path, [*records(), {"event": "lunch", "key": "lunch"}])
    assert read_journal(path)[0][-1].event == UnknownEvent("lunch", {})


@pytest.mark.parametrize(
    ("line", "changes", "said"),
    [
        (1, {"flops": "many"}, "'flops' must be a whole number, got 'many'"),
        (1, {"index": 3}, "'index' is 3 and should be 0"),
        (1, {"parent": 0}, "'parent' is 0, which cannot be for 'start'"),
        (1, {"architecture": {}}, "resbuilder.architecture"),
        (1, {"inserted": ["b9"]}, "its architecture has no block b9"),
        (2, {"variant": "../../with_reg"}, "'variant' must be one of with_reg"),
        (2, {"finite": None}, "'finite' must be true or false"),
        (2, {"validation": {"accuracy": "x", "loss": 1}}, "'validation' must be accuracy and loss"),
        (2, {"index": 7}, "its architecture 7 is not there"),
        (2, {"variant": "no_reg_wi"}, "no training with_reg before it"),
        (2, {"key": "step 0"}, "a step 'step 0' stands there twice"),
        (2, {"n": 5}, "it is number 5 and should be 1"),
        (2, {"key": None}, 'no object with the texts "event" and "key"'),
        (5, {"removed": ["b9"]}, "architecture 0 has no block b9"),
        (5, {"threshold": 10**400}, "'threshold' must be a number"),
    ],
)
def test_a_record_that_cannot_be_is_named(tmp_path, line, changes, said):
    some = records()
    some[line - 1] |= changes
    path = write(tmp_path / "journal.jsonl", some)
    with pytest.raises(ValueError, match=rf"journal.jsonl, line {line}, .*{said}"):
        read_journal(path)


def test_a_lack_or_a_missing_line_is_named(tmp_path):
    for name in ("index", "variant", "epochs", "seconds", "finite", "history", "test"):
        some = records()
        del some[2][name]
        with pytest.raises(ValueError, match=f"line 3, .*it lacks '{name}'"):
            read_journal(write(tmp_path / "journal.jsonl", some))
    some = records()
    del some[1]
    with pytest.raises(ValueError, match="line 2, .*it is number 2 and should be 1"):
        read_journal(write(tmp_path / "journal.jsonl", some))
    path = tmp_path / "journal.jsonl"
    path.write_text("[" * 10_000 + "\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1, .*nested too deeply"):
        read_journal(path)
