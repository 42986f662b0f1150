"""A whole race on real digits: its cost, its survivors, and that a kill changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import keras
import numpy as np
import pytest

from resbuilder import SearchConfig, build_model, cost, resnet_architecture, resume, search
from resbuilder.pipeline import race as race_module
from resbuilder.pipeline.race_trainings import RaceTrainings, logits_file
from resbuilder.pipeline.trainings import network_file
from resbuilder.race.schedule import cross_entropy
from resbuilder.report import read_history, write_report
from resbuilder.run import (
    EntrantEvent,
    Run,
    SelectionEvent,
    TrainingEvent,
    read_config,
    read_journal,
)
from resbuilder.run.events import Scores
from tests.resbuilder.pipeline.outcomes import weights

SETTINGS = {
    "dataset": "digits",
    "train_limit": 120,
    "method": "race",
    "flops": 800_000,
    "depths": "1",
    "total_epochs": 9,
}
MINE = resnet_architecture((8, 8, 1), 10, (8, 16), (1, 1), "small")


def config(folder, **changes):
    """Return the settings of a race with a contender from a file in a folder."""
    file = folder / "mine.json"
    file.write_text(json.dumps(MINE.to_json()))
    return SearchConfig(**SETTINGS | {"contenders": str(file)} | changes)


def outcome(path) -> dict:
    """Return the entries by key, without their numbers and times."""
    entries = (entry.to_json() for entry in read_journal(path / "journal.jsonl")[0])
    return {e["key"]: {k: e[k] for k in e if k not in ("n", "time", "seconds")} for e in entries}


def events(path, kind):
    return [e.event for e in read_journal(path / "journal.jsonl")[0] if isinstance(e.event, kind)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    return search(config(folder), folder / "run")


@pytest.mark.any_backend
@pytest.mark.slow
def test_a_race_has_as_many_epochs_as_planned_and_stays_within_the_budget(finished):
    entrants = events(finished.run, EntrantEvent)
    trainings = events(finished.run, TrainingEvent)
    *candidates, contender, winner = entrants
    assert [e.label for e in candidates] == ["s1 111", "s1p 11", "s1p+ 01", "s2p 1"]
    assert all(0.95 * 400_000 < e.flops <= 400_000 for e in candidates)
    assert contender.label == "mine" and 0.95 * 800_000 < contender.flops <= 800_000
    *_, last = events(finished.run, SelectionEvent)
    assert winner.label == " ∥ ".join(candidates[index].label for index in last.kept)
    assert winner.flops == sum(candidates[index].flops for index in last.kept) <= 800_000
    assert all(cost(e.architecture).flops == e.flops for e in entrants)
    # An epoch of a candidate costs half as much as one of the contender.
    assert sum(t.epochs for t in trainings if t.index != contender.index) == 2 * 9
    assert sum(t.epochs for t in trainings if t.index == contender.index) == 9


@pytest.mark.slow
def test_the_settings_of_a_run_hold_the_decay_of_the_averages(finished):
    assert (
        read_config(finished.run, "search")["ema"] == 0.9
    )  # Few steps in an epoch: the least decay.


@pytest.mark.any_backend
@pytest.mark.slow
def test_the_two_that_remain_after_the_trial_make_the_winner(finished):
    selection, last = events(finished.run, SelectionEvent)
    trainings = {(t.index, t.variant): t for t in events(finished.run, TrainingEvent)}
    losses = [trainings[i, "trial"].validation.loss for i in selection.indices]
    assert list(selection.losses) == losses and selection.indices == (0, 1, 2, 3)
    assert len(selection.kept) == 2 and selection.loss > 0
    cooled = [t.index for t in trainings.values() if t.variant == "cooldown"]
    assert cooled == list(selection.kept)
    final = [t for t in trainings.values() if t.variant in ("combined", "whole")]
    assert {(t.index, t.variant) for t in final} == {(5, "combined"), (4, "whole")}
    assert finished.best.accuracy_validation == max(t.validation.accuracy for t in final)
    assert (selection.after, last.after) == ("trial", "cooldown")
    assert sorted(last.indices) == sorted(selection.kept)
    # The backend computes the losses of single networks in float32.
    assert last.loss <= min(last.losses) + 1e-5
    made = events(finished.run, EntrantEvent)
    trunks = made[5].architecture.trunks.values()
    assert list(trunks) == [made[index].architecture for index in last.kept]
    # Networks in the trial are not evaluated on test data.
    assert all(t.test.accuracy is None for t in trainings.values() if t.variant == "trial")
    assert (
        finished.architecture
        == events(finished.run, EntrantEvent)[finished.best.index].architecture
    )


@pytest.mark.any_backend
@pytest.mark.slow
def test_the_saved_network_is_the_one_that_was_evaluated(finished):
    data = race_module.TrainingData.load(SearchConfig(**SETTINGS))
    x, y = data.dataset.x_test, data.dataset.y_test
    predicted = finished.model().predict(x.astype("float32"), verbose=0).argmax(axis=1)
    assert np.mean(predicted == y) == pytest.approx(finished.best.accuracy_test, abs=1e-6)


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_the_cooldown_starts_from_the_weights_and_the_optimizer_of_the_trial(tmp_path):
    settings = SearchConfig(**SETTINGS).resolved()
    data = race_module.TrainingData.load(settings)
    with Run.create(tmp_path / "run", settings) as run:
        node = race_module.entrants(settings, data)[1]
        trainings = RaceTrainings(run, data, None)
        trained = trainings.train(node, "trial")
        before = keras.models.load_model(run.models / "001_trial.keras")
        steps = -(-len(data.split.train) // settings.batch_size)
        assert int(before.optimizer.iterations) == steps * node.plan.trial
        trainings.train(node, "cooldown")
        after = keras.models.load_model(run.models / "001_cooldown.keras")
        logits = np.load(run.models / "001_trial.npy")
    assert int(after.optimizer.iterations) == steps * (node.plan.trial + node.plan.cooldown)
    moved = np.abs(after.get_weights()[0] - before.get_weights()[0]).max()
    assert 0 < moved < 0.2  # A few steps of Adam, not other random weights.
    # The stored logits are those of the averaged weights, which the trial was judged by.
    labels = data.dataset.y_train[data.split.validation]
    assert cross_entropy(logits, labels) == pytest.approx(trained.validation.loss, rel=1e-5)


START = "import resbuilder; resbuilder.resume({path!r}, workers={workers})"


def begin(path, workers=1):
    program = START.format(path=str(path), workers=workers)
    # One thread each, because sums over several threads round differently.
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE
    )


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_race_with_workers_ends_like_one_without(tmp_path):
    for name in ("alone", "parallel"):
        Run.create(tmp_path / name, config(tmp_path).resolved()).__exit__()
    alone, parallel = tmp_path / "alone", tmp_path / "parallel"
    process = begin(alone)
    assert process.wait() == 0, process.stderr.read()
    process = begin(parallel, 2)
    while "selection" not in outcome(parallel):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "finished" not in outcome(parallel)
    assert begin(parallel, 2).wait() == 0
    assert outcome(parallel) == outcome(alone)
    for a, b in zip(weights(parallel), weights(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    models = [{path.name for path in (run / "models").iterdir()} for run in (alone, parallel)]
    assert models[0] == models[1]


@pytest.mark.slow
def test_the_report_compares_a_race_with_its_contender(finished, tmp_path):
    folder = shutil.copytree(finished.run, tmp_path / "run")
    page = write_report(folder).read_text()
    assert "mine, was trained for all 9 epochs" in page and "at equal total cost" in page
    history = read_history(folder)
    winner = history.records[5].score("combined")
    kept = history.of(SelectionEvent)[-1].kept
    spent = [sum(t.epochs for t in history.records[i].trainings.values()) for i in kept]
    assert history.epochs_behind(winner) == max(spent)


@pytest.mark.slow
def test_a_journal_of_the_other_method_is_refused(finished, tmp_path):
    folder = shutil.copytree(finished.run, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    for name in ("method", "total_epochs", "depths", "contenders"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match='is that of a search with method "race"'):
        resume(folder)


def test_contenders_are_those_of_the_beginning_whatever_happens_to_their_files(
    tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RaceTrainings, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        search(config(tmp_path), tmp_path / "run")
    (tmp_path / "mine.json").unlink()
    with pytest.raises(KeyboardInterrupt):  # It is resumed.
        resume(tmp_path / "run")
    other = resnet_architecture((8, 8, 1), 10, (16, 8), (1, 1), "small")
    (tmp_path / "mine.json").write_text(json.dumps(other.to_json()))
    journal = tmp_path / "run" / "journal.jsonl"
    *lines, last = journal.read_text().splitlines(keepends=True)
    assert '"contender"' in last
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run")
    assert journal.read_text() == "".join((*lines, last))
    # Without its entry, the file is read again.
    journal.write_text("".join(lines))
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run")
    *same, changed = journal.read_text().splitlines(keepends=True)
    assert same == lines and changed != last


def test_a_contender_whose_path_has_a_comma_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a, b").mkdir()
    monkeypatch.chdir(tmp_path / "a, b")
    Path("mine.json").write_text(json.dumps(MINE.to_json()))
    settings = SearchConfig(**SETTINGS | {"contenders": "mine.json"})
    with pytest.raises(ValueError, match=r"contender .*mine\.json has a comma in its path"):
        search(settings, tmp_path / "run")


def diverging(monkeypatch, *where):
    """Replace trainings by their results; the given ones, as (index, variant), diverge."""

    def outcome_of(self, node, variant):
        models = self.folder.models
        build_model(node.architecture).save(models / network_file(node.index, variant))
        labels = self.data.dataset.y_train[self.data.split.validation]
        # The later a candidate, the less often it is right.
        np.save(models / logits_file(node.index, variant), np.eye(10)[labels] / (1 + node.index))
        ended = (node.index, variant) not in where
        scores = Scores(0.5, 1.0 + node.index) if ended else Scores(None, None)
        epochs = node.plan.epochs(variant)
        losses = (scores.loss,) * epochs
        return TrainingEvent(
            index=node.index, variant=variant, epochs=epochs, seconds=0.0, finite=ended,
            history={"val_loss": losses, "loss": losses}, validation=scores, test=scores,
        )  # fmt: skip

    monkeypatch.setattr(RaceTrainings, "train", outcome_of)


def test_the_cooldown_gets_the_epochs_of_diverged_candidates(tmp_path, monkeypatch):
    diverging(monkeypatch, *((index, "trial") for index in (0, 1, 2)))
    settings = SearchConfig(**SETTINGS | {"total_epochs": 10})
    run = search(settings, tmp_path / "run").run
    trainings = {(t.index, t.variant): t.epochs for t in events(run, TrainingEvent)}
    assert [key for key in trainings if key[1] != "trial"] == [(3, "cooldown"), (4, "combined")]
    assert sum(trainings.values()) == 2 * 10
    # The plan was (4 × 1 (trial) + 2 × 8 (cooldown)) / 2.
    assert trainings[3, "cooldown"] == 16


def test_a_candidate_whose_cooldown_diverged_is_no_trunk_of_the_winner(tmp_path, monkeypatch):
    diverging(monkeypatch, (0, "cooldown"))
    run = search(SearchConfig(**SETTINGS), tmp_path / "run").run
    made = events(run, EntrantEvent)
    assert made[-1].label == "s1p 11" and made[-1].architecture == made[1].architecture


def test_a_trunk_that_is_better_alone_is_the_winner(tmp_path, monkeypatch):
    diverging(monkeypatch)  # None does, and the first candidate is right most often.
    result = search(SearchConfig(**SETTINGS), tmp_path / "run")
    *_, selection = events(result.run, SelectionEvent)
    assert (selection.after, selection.indices, selection.kept) == ("cooldown", (0, 1), (0,))
    made = events(result.run, EntrantEvent)
    assert result.architecture == made[0].architecture and made[-1].label == made[0].label
    text = unescape(write_report(result.run).read_text())
    assert "Cooldown" in text and f"dropped: #1 {made[1].label}" in text


def test_a_race_killed_before_its_end_is_recorded_resumes_with_its_winner(tmp_path, monkeypatch):
    diverging(monkeypatch)
    finish = race_module.finish

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(race_module, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        search(SearchConfig(**SETTINGS), tmp_path / "run")
    monkeypatch.setattr(race_module, "finish", finish)
    resumed = resume(tmp_path / "run")
    assert (resumed.best.index, resumed.best.variant) == (4, "combined")
    assert list(outcome(tmp_path / "run"))[-2:] == ["training 4 combined", "finished"]


def test_a_race_of_two_candidates_has_no_trial_and_can_be_read(tmp_path, monkeypatch):
    diverging(monkeypatch)
    settings = SearchConfig(**SETTINGS | {"flops": 3_000})
    result = search(settings, tmp_path / "run")
    assert [e.origin for e in events(result.run, EntrantEvent)] == [*2 * ["candidate"], "winner"]
    assert {t.variant for t in events(result.run, TrainingEvent)} == {"cooldown", "combined"}
    assert write_report(result.run).is_file()
    assert resume(result.run).best == result.best


@pytest.mark.parametrize(
    ("diverged", "why"),
    [
        ([(i, "cooldown") for i in (0, 1)], "no loss stayed finite in the cooldown"),
        (
            [(i, "trial") for i in range(4)],
            "no candidate's loss stayed finite",
        ),
    ],
)
def test_a_diverged_race_gives_the_reason_and_trains_its_contenders(
    tmp_path, monkeypatch, diverged, why
):
    diverging(monkeypatch, *diverged)
    result = search(config(tmp_path), tmp_path / "run")
    assert result.reason == f"break-down: {why}; lower the learning rate"
    assert (result.best.index, result.best.variant) == (4, "whole")
    assert why in unescape(write_report(result.run).read_text())
    monkeypatch.setattr(RaceTrainings, "train", lambda *_: pytest.fail("trained again"))
    assert resume(result.run).reason == result.reason


@pytest.mark.slow
def test_a_finished_race_is_resumed_without_a_training(finished, monkeypatch):
    monkeypatch.setattr(RaceTrainings, "train", lambda *_: pytest.fail("trained again"))
    assert resume(finished.run).best == finished.best


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_epochs": 2}, "too small for a race of 4 candidates: it must be at least 3"),
        ({"flops": 10}, "each candidate gets 5, but the smallest"),
        ({"contenders": "vgg"}, "unknown contender 'vgg'; give resnet-20"),
        ({"contenders": "there_is_none.json"}, "cannot read the architecture"),
        ({"contenders": "resnet-20,resnet-20"}, "twice"),
        ({"contenders": "mine.json"}, r"is a network for images of shape \(8, 8, 3\)"),
        ({"contenders": "deep.json", "flops": 9_000}, "contender deep: a budget of 9,000"),
    ],
)
def test_bad_input_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    mine = resnet_architecture((8, 8, 3), 10, (4,), (1,), "small")
    deep = resnet_architecture((8, 8, 1), 10, (4,), (9,), "small")
    for name, network in (("mine", mine), ("deep", deep)):
        (tmp_path / f"{name}.json").write_text(json.dumps(network.to_json()))
    with pytest.raises(ValueError, match=message):
        search(SearchConfig(**SETTINGS | changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
