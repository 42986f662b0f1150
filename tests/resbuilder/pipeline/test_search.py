"""The whole search on real digits: its results, and that nothing is lost when it is killed."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from resbuilder import Architecture, SearchConfig, resnet_architecture, resume, search
from resbuilder.datasets import load
from resbuilder.pipeline.loop import Loop
from resbuilder.run import (
    ArchitectureEvent,
    ExhaustedEvent,
    MorphNetStep,
    RemovalEvent,
    Run,
    TrainingEvent,
    read_journal,
)
from resbuilder.start_network import start_architecture
from resbuilder.training import TrainingData
from tests.resbuilder.pipeline.outcomes import logged, weights

SETTINGS = {
    "dataset": "digits",
    "train_limit": 200,
    "epochs": 1,
    "batch_size": 40,
    "width": 4,
    "stages": 2,
    "flops": 100_000,
    "rounds": 1,
    "insertions": 1,
    # Every block is below this threshold, so the run includes a removal.
    "tau_layer": 0.5,
    "momentum": False,
}
TIMES = ("time", "seconds")
# A start from a file has its own width and stages.
OWN = {"width": None, "stages": None}


def run_search(path, callbacks=None, **changes):
    return search(SearchConfig(**SETTINGS | changes), path, callbacks=callbacks)


def decisions_and_numbers(path: Path) -> list[dict]:
    """Return the journal without times."""
    return [
        {key: value for key, value in entry.to_json().items() if key not in TIMES}
        for entry in read_journal(path / "journal.jsonl")[0]
    ]


def events(result, kind=object) -> list:
    """Return the events of a search, of one kind or all."""
    entries, _ = read_journal(result.run / "journal.jsonl")
    return [entry.event for entry in entries if isinstance(entry.event, kind)]


def made_by(result, origin: str) -> list[ArchitectureEvent]:
    return [event for event in events(result, ArchitectureEvent) if event.origin == origin]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("search") / "run"
    return run_search(path, logged)


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_the_run_follows_figure_4_3(finished):
    trained = ["architecture", "training", "training", "training"]
    assert [event.name for event in events(finished)] == [
        "data",
        *trained, "removal",  # the start
        *trained, "removal", "architecture", "evaluation",  # an insertion, and its removal
        "morphnet", *trained,  # the result of the last MorphNet step is trained, too
        "finished",
    ]  # fmt: skip
    made = events(finished, ArchitectureEvent)
    assert [event.origin for event in made] == ["start", "insertion", "removal", "morphnet"]
    assert [event.round for event in made] == [0, 0, 0, 1]
    assert finished.reason == "all rounds are done"


def test_the_last_network_fills_the_budget_and_respects_it(finished):
    (step,) = events(finished, MorphNetStep)
    assert step.flops_before < step.flops_after <= SETTINGS["flops"]
    assert sum(w == -1 for w in step.channels["stem"]) == step.widths_after["stem"] - 4


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_the_winner_is_chosen_on_validation_data_and_saved(finished):
    no_reg = [e for e in events(finished, TrainingEvent) if e.variant != "with_reg"]
    highest = max(event.validation.accuracy for event in no_reg)
    assert finished.best.accuracy_validation == highest
    data = load("digits")
    predicted = finished.model().predict(data.x_test.astype("float32"), verbose=0).argmax(axis=1)
    accuracy = float(np.mean(predicted == data.y_test))
    assert accuracy == pytest.approx(finished.best.accuracy_test, abs=1e-6)
    confusion = np.array(events(finished)[-1].confusion)
    assert confusion.sum() == len(data.y_test)
    assert np.trace(confusion) == round(accuracy * len(data.y_test))


def test_only_needed_models_are_kept(finished):
    names = {p.name for p in (finished.run / "models").iterdir()}
    assert len(names) <= 3 and "best.keras" in names


def test_resuming_a_finished_run_changes_nothing(finished):
    def files():
        return {p: p.read_bytes() for p in sorted(finished.run.rglob("*")) if p.is_file()}

    before = files()
    assert resume(finished.run) == finished
    assert files() == before


@pytest.mark.slow
def test_a_run_killed_at_random_times_ends_like_an_uninterrupted_one(finished, tmp_path):
    path = tmp_path / "run"
    config = SearchConfig(**SETTINGS)
    Run.create(path, config.resolved()).__exit__()
    program = f"import resbuilder; resbuilder.resume({str(path)!r})"
    dice, kills = random.Random(2023), 0
    for lines in (1, 3, 7, 12):
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
        while process.poll() is None:
            written = (path / "journal.jsonl").exists() and len(
                (path / "journal.jsonl").read_bytes().splitlines()
            )
            if written >= lines:
                time.sleep(dice.uniform(0, 1))
                break
            time.sleep(0.02)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 3
    result = resume(path)
    assert decisions_and_numbers(path) == decisions_and_numbers(finished.run)
    assert result.best == finished.best
    for a, b in zip(weights(path), weights(finished.run), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_resumed_run_accepts_only_its_own_data_and_keeps_its_start(tmp_path):
    data, start = tmp_path / "mine.npz", tmp_path / "start.json"
    digits = load("digits")
    arrays = {k: getattr(digits, k) for k in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(data, **arrays)
    build_start(start, (8, 8, 1))
    settings = {
        "dataset": "mine",
        "data_dir": str(tmp_path),
        "start": str(start),
        "rounds": 0,
    } | OWN
    result = run_search(tmp_path / "run", **settings)
    start.unlink()
    assert resume(tmp_path / "run") == result
    np.savez(data, **arrays | {"y_train": arrays["y_train"][::-1]})
    with pytest.raises(ValueError, match="are not those with which the run"):
        resume(tmp_path / "run")


@pytest.mark.slow
def test_a_winner_can_be_the_start_of_another_search(finished, with_share, tmp_path):
    """This works even if both searches give their inserted blocks the same names."""
    best = Architecture.from_json((finished.run / "architecture.json").read_text())
    assert best == finished.architecture
    start = tmp_path / "start.json"
    grown = made_by(with_share, "insertion")[0]
    start.write_text(json.dumps(grown.architecture.to_json()))
    again = run_search(tmp_path / "b", start=str(start), tau_layer=0.0, **OWN)
    assert with_share.reason == again.reason == "all rounds are done"
    assert [event.inserted for event in made_by(again, "insertion")] == [grown.inserted]


def test_an_insertion_inherits_weights_and_the_optimizer(tmp_path):
    """With a learning rate of practically zero, the other layers keep their weights."""
    settings = {"learning_rate": 1e-12, "lambda_l2": 0.0, "tau_layer": 0.0}
    config = SearchConfig(**SETTINGS | settings)
    with Run.create(tmp_path / "run", config.resolved()) as run:
        data = TrainingData.load(config)
        loop = Loop(run, data, start_architecture(config, data.dataset), None)
        node = loop.add(loop.start, "start")
        loop.train(node, None)
        first = keras.models.load_model(run.models / "000_with_reg.keras", compile=False)
        before = keras.ops.convert_to_numpy(first.get_layer("stem").kernel)
        grown = loop.insert(node)
        loop.train(grown, node)
        model = keras.models.load_model(run.models / "001_with_reg.keras")
    stem = keras.ops.convert_to_numpy(model.get_layer("stem").kernel)
    np.testing.assert_allclose(stem, before, atol=1e-8)
    # Two trainings of four steps: Adam's state was inherited, not reset.
    assert int(model.optimizer.iterations) == 8


@pytest.mark.slow
def test_inserted_blocks_that_exceed_the_budget_end_the_search(tmp_path):
    result = run_search(tmp_path / "run", width=1, flops=1500, tau_layer=0.0)
    assert "one channel in every layer already needs" in result.reason
    assert result.best.index == 0


@pytest.fixture(scope="module")
def with_share(tmp_path_factory):
    """Two rounds with a fraction of the budget for each inserted block; no block is removed."""
    path = tmp_path_factory.mktemp("shared") / "run"
    return run_search(path, insert_share=0.2, rounds=2, tau_layer=0.0)


@pytest.mark.slow
def test_insert_share_keeps_every_network_within_the_budget(with_share):
    """At full resolution, a block of the thesis' width would need 36 % of this budget."""
    sizes = {event.index: event.flops for event in events(with_share, ArchitectureEvent)}
    assert max(sizes.values()) <= SETTINGS["flops"]
    grown = made_by(with_share, "insertion")
    assert len(grown) == 2
    for event in grown:
        assert sizes[event.index] - sizes[event.parent] <= 0.2 * SETTINGS["flops"]
    # Room for one block after the first step, none after the last.
    first, last = (step.flops_after for step in events(with_share, MorphNetStep))
    assert first <= 0.8 * SETTINGS["flops"] < last


@pytest.mark.slow
def test_a_search_continues_when_no_position_for_a_block_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("resbuilder.pipeline.loop.draw_insertion", lambda *_: None)
    result = run_search(tmp_path / "run")
    assert events(result, ExhaustedEvent)
    assert result.reason == "all rounds are done"


def test_a_search_whose_network_dies_ends_with_the_best_so_far(tmp_path):
    result = run_search(tmp_path / "run", tau_morphnet=100.0, insertions=0)
    assert result.reason.startswith("break-down: no channel is alive in stem")
    assert result.best.index == 0 and result.model() is not None
    assert [event.name for event in events(result)[-3:]] == ["morphnet", "breakdown", "finished"]


def test_a_diverging_training_ends_the_run(tmp_path):
    result = run_search(tmp_path / "run", learning_rate=1e30)
    assert "did not stay finite" in result.reason and result.best is None
    with pytest.raises(ValueError, match="trained no network within the budget"):
        result.model()


@pytest.mark.slow
def test_surviving_channels_are_inherited_on_request(tmp_path):
    """With a learning rate of practically zero, the new network has the old channels."""
    settings = {"insertions": 0, "learning_rate": 1e-12, "lambda_l2": 0.0}
    stem: dict[str, np.ndarray] = {}
    run_search(tmp_path / "before", lambda t: [StemInto(stem, t.name)], rounds=0, **settings)
    before = stem["000_with_reg"]
    for inherit in (False, True):
        path = tmp_path / f"after_{inherit}"
        run_search(path, lambda t: [StemInto(stem, t.name)], inherit_channels=inherit, **settings)
        difference = np.abs(stem["001_with_reg"][..., :4] - before).max()
        assert difference < 1e-8 if inherit else difference > 0.01


class StemInto(keras.callbacks.Callback):
    """Copies the kernel of the stem at the end of a training, before its model is removed."""

    def __init__(self, found: dict[str, np.ndarray], name: str):
        super().__init__()
        self.found, self.name = found, name

    def on_train_end(self, logs=None):
        kernel = self.model.network.get_layer("stem").kernel
        self.found[self.name] = keras.ops.convert_to_numpy(kernel).copy()


@pytest.mark.slow
def test_momentum_keeps_the_blocks_of_a_good_insertion(tmp_path):
    """Any gain counts as good here, so no block is removed after the insertion."""
    result = run_search(tmp_path / "run", momentum=True, tau_momentum=-1.0)
    judged = events(result, RemovalEvent)
    assert [event.kept_by_momentum for event in judged] == [False, True]
    made = events(result, ArchitectureEvent)
    assert [event.origin for event in made] == ["start", "insertion", "morphnet"]


def test_a_callback_logs_the_same_values_as_the_journal(finished):
    logs = {path.stem: path for path in (finished.run.parent / "run_logs").iterdir()}
    for training in events(finished, TrainingEvent):
        with open(logs.pop(f"{training.index:03d}_{training.variant}")) as file:
            rows = list(csv.DictReader(file))
        for name, curve in training.history.items():
            np.testing.assert_allclose([float(row[name]) for row in rows], curve, rtol=1e-6)
    assert not logs


def test_a_callback_must_not_stop_a_training(tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=0)
    with pytest.raises(ValueError, match="after 2 of 3 epochs, but a search .* equal length"):
        run_search(tmp_path / "run", lambda _: [stop], rounds=0, epochs=3)


def test_nothing_is_written_if_the_settings_are_invalid(tmp_path):
    for changes, message in [
        ({"peak_flops": 1e9, "bandwidth": 1e9}, 'for resource "latency" only'),
        ({"shift": 1.0}, "shift must be in"),
        ({"flops": 10}, "the smallest rb-0net"),
        ({"dataset": "nothing"}, "unknown dataset"),
        ({"start": "vgg"}, "unknown start network 'vgg'"),
        ({"stages": 6}, "too small for 6 stages"),
    ]:
        with pytest.raises(ValueError, match=message):
            run_search(tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_start_from_a_file(tmp_path):
    architecture = build_start(tmp_path / "a.json", (8, 8, 1))
    result = run_search(tmp_path / "run", start=str(tmp_path / "a.json"), rounds=0, **OWN)
    assert result.architecture == architecture
    build_start(tmp_path / "b.json", (9, 9, 1))
    with pytest.raises(ValueError, match=r"a network for images of shape \(9, 9, 1\)"):
        run_search(tmp_path / "other", start=str(tmp_path / "b.json"), **OWN)


def build_start(path, shape) -> Architecture:
    architecture = resnet_architecture(shape, 10, (4, 6), (1, 1), "small")
    path.write_text(json.dumps(architecture.to_json()))
    return architecture
