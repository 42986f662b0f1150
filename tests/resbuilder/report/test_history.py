"""Run folders become records, rows, decisions and the best network, or clear errors."""

import json

import pytest
from scipy.stats import binomtest

from resbuilder.report import VARIANTS, read_history, summary_rows
from resbuilder.report.accuracy_plot import widest_of_first_stage
from resbuilder.report.classes_plot import most_confused
from resbuilder.report.decisions import decisions
from resbuilder.report.flops_plot import pareto_front
from resbuilder.report.removals_plot import judgments
from resbuilder.report.verdict import wilson


def test_rows_have_the_values_of_the_journal(search_run):
    run = search_run()
    rows = summary_rows(read_history(run.folder))
    assert [row["index"] for row in rows] == list(range(len(run.architectures)))
    assert [row["architecture"] for row in rows] == [str(a) for a in run.architectures]
    for event in run.events:
        if event["event"] == "training":
            row, variant = rows[event["index"]], event["variant"]
            assert row[f"{variant}_validation"] == event["validation"]["accuracy"]
            assert row[f"{variant}_test"] == event["test"]["accuracy"]
    removals = [row for row in rows if row["origin"] == "removal"]
    assert len(removals) == 2
    for row in removals:
        assert row["removal_validation"] == 0.83 and row["with_reg_validation"] is None


def test_the_best_network_is_within_the_budget(search_run):
    run = search_run()
    history = read_history(run.folder)
    above = [r for r in history.records.values() if r.flops > run.budget]
    assert above and not any(history.within_budget(r) for r in above)
    best = history.best()
    assert best.record.flops <= run.budget and best.variant != "with_reg"
    assert best.record.index == history.finished.best.index
    assert best.validation == history.finished.best.accuracy_validation
    assert history.best(any_size=True).validation >= best.validation


def test_epochs_count_all_trainings_since_random_weights(search_run):
    """Trainings of 3 epochs: 0 start, 1 and 2 insertions, 3 removal, 4 insertion, 5 MorphNet."""

    def behind(index, variant, **settings):
        history = read_history(search_run(f"{index}_{variant}_{len(settings)}", **settings).folder)
        return history.epochs_behind(history.records[index].score(variant))

    assert [behind(0, v) for v in VARIANTS] == [3, 6, 3]
    assert [behind(4, v) for v in VARIANTS] == [12, 15, 3]
    assert [behind(5, v) for v in VARIANTS] == [3, 6, 3]
    assert [behind(5, v, inherit_channels=True) for v in VARIANTS] == [15, 18, 3]


def test_a_run_can_be_read_after_every_event(search_run):
    run = search_run()
    lines = (run.folder / "journal.jsonl").read_text().splitlines(keepends=True)
    trained = 0
    for count in range(len(lines) + 1):
        (run.folder / "journal.jsonl").write_text("".join(lines[:count]))
        history = read_history(run.folder)
        trained += bool(count) and run.events[count - 1]["event"] == "training"
        assert len(list(history.scores())) == trained
        assert (history.finished is None) == (count < len(lines))
        assert len(decisions(history)) <= count


def test_an_incomplete_last_line_is_ignored_with_a_note(search_run):
    run = search_run()
    journal = run.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    before = journal.read_bytes()
    history = read_history(run.folder)
    assert history.finished is None and len(history.entries) == len(run.events) - 1
    assert "The last line of the journal is incomplete" in history.notes[0]
    assert journal.read_bytes() == before  # Reading changes nothing.


def test_the_error_names_a_damaged_line_in_the_middle(search_run):
    run = search_run()
    journal = run.folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], "{broken\n", *lines[4:]]))
    with pytest.raises(ValueError, match="line 4"):
        read_history(run.folder)
    event = json.loads(lines[3])
    del event["index"]
    journal.write_text("".join([*lines[:3], json.dumps(event) + "\n", *lines[4:]]))
    with pytest.raises(ValueError, match="line 4.*index"):
        read_history(run.folder)


def test_folders_that_are_not_runs_are_refused(tmp_path, search_run):
    with pytest.raises(ValueError, match="not a run folder"):
        read_history(tmp_path)
    run = search_run()
    config = json.loads((run.folder / "config.json").read_text())
    (run.folder / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(ValueError, match="99"):
        read_history(run.folder)


def test_numbers_that_are_not_finite_do_not_count(start_run):
    run = start_run()
    run.event(
        "training", index=0, variant="no_reg_ri", epochs=1, seconds=1.0, finite=False,
        history={"loss": [None]}, validation={"accuracy": None, "loss": None},
        test={"accuracy": None, "loss": None},
    )  # fmt: skip
    history = read_history(run.folder)
    assert history.best() is None and list(history.scores()) == []
    assert any("not finite" in row.text for row in decisions(history))


def test_decisions_give_their_reasons(search_run):
    texts = {}
    for row in decisions(read_history(search_run().folder)):
        texts.setdefault(row.kind, []).append(row.text)
    assert set(texts) == {
        "Start", "Insert", "LayerLasso", "Momentum", "Remove", "MorphNet", "Resize", "Finished"
    }  # fmt: skip
    assert len(texts["Insert"]) == 7 and "stage 1 at position 0" in texts["Insert"][0]
    assert "0.0004" in texts["Momentum"][0] and "+2.10 points" in texts["Momentum"][0]
    assert "κ = 1.66" in texts["MorphNet"][0]


def test_judgments_agree_with_the_removals(search_run):
    run = search_run()
    judged = judgments(read_history(run.folder))
    assert sum(j.verdict == "removed" for j in judged) == 2
    assert sum(j.verdict == "kept by momentum" for j in judged) == 1
    for j in judged:
        assert (j.value < j.threshold) == (j.verdict != "kept")


def test_no_network_dominates_the_pareto_front(search_run):
    scores = list(read_history(search_run().folder).scores())
    front = pareto_front(scores)

    def dominated(s):
        return any(
            o.record.flops <= s.record.flops
            and o.validation >= s.validation
            and (o.record.flops, o.validation) != (s.record.flops, s.validation)
            for o in scores
        )

    assert {id(s) for s in front} == {id(s) for s in scores if not dominated(s)}


def test_the_number_at_a_morphnet_line_is_the_largest_width_of_the_first_stage(search_run):
    run = search_run()
    for a in run.architectures:
        widths = [a.stem.width, *(b.inner for b in a.stages[0].blocks)]
        assert widest_of_first_stage(a) == max(widths)


def test_the_interval_is_wilsons():
    for correct, count in ((0, 30), (27, 30), (30, 30), (912, 1000)):
        expected = binomtest(correct, count).proportion_ci(0.95, method="wilson")
        assert wilson(correct / count, count) == pytest.approx(tuple(expected), abs=1e-6)


def test_the_most_confused_pairs_come_first():
    import numpy as np

    matrix = np.array([[7, 3, 0], [0, 10, 0], [1, 5, 4]])
    pairs = most_confused(matrix, ["a", "b", "c"])
    assert [(p["true"], p["predicted"], p["images"]) for p in pairs] == [
        ("c", "b", 5), ("a", "b", 3), ("c", "a", 1)
    ]  # fmt: skip
    assert pairs[0]["share"] == 0.5
