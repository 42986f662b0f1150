"""After a crash a training resumes as if it had not been interrupted, in any callback order."""

import csv
import json
from functools import cache

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking

pytestmark = pytest.mark.any_backend
EPOCHS, STEPS = 10, 8  # epochs of a training, steps of an epoch
FIRST = np.array([[0.5], [-0.5], [0.5]])  # weights of the model


class Crash(Exception):
    pass


class CrashAt(keras.callbacks.Callback):
    """Simulate a crash at the start of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise Crash


def model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights([FIRST, np.zeros(1)])
    model.compile(PHS(0.1, 1.0, 2.0), "mse")
    return model


def fit(model, *callbacks, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8 * STEPS, 3))
    y = x @ [[1.0], [2.0], [-1.0]] + 0.1 * rng.normal(size=(8 * STEPS, 1))
    options = {"batch_size": 8, "epochs": EPOCHS, "verbose": 0, "shuffle": False} | options
    return model.fit(x, y, callbacks=list(callbacks), **options)


def braking(**options):
    options = {"average_steps": 6, "verbose": 0, "restore_best_weights": False} | options
    return GoalOrientedBraking(**options)


def summary(events):
    return [(e["action"], e["step"], e["epoch"], e["friction"], e["reason"]) for e in events]


def end_of(model, callback):
    """Return everything that must not depend on an interruption."""
    numbers = [*model.get_weights(), *(np.array(v) for v in model.optimizer.momenta)]
    state = vars(callback.policy.state) | {"friction": float(model.optimizer.friction.numpy())}
    return numbers, state


def assert_same(found, expected):
    for ours, theirs in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert found[1] == pytest.approx(expected[1], rel=1e-5)


@cache
def _uninterrupted(options):
    straight, whole = model(), braking(**dict(options))
    fit(straight, whole, validation_split=0.125)
    return whole, end_of(straight, whole)


def uninterrupted(options):
    """Return the callback and the end of a training with these options."""
    return _uninterrupted(tuple(options.items()))


GOAL = {"target": 0.9}
MINIMA = {"target": 0.8, "minima": 3, "exploitation": 2}
EASED = {"target": 0.9999, "patience": 2, "on_patience": "adjust", "adjustment": 0.98}
CASES = [
    (GOAL, 1),
    pytest.param(MINIMA, 2, marks=pytest.mark.slow),
    (MINIMA, 5),
    pytest.param(EASED, 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("backup_first", [False, True])
@pytest.mark.parametrize(("options", "crash"), CASES)
def test_everything_from_the_goal_on_matches_an_uninterrupted_training(
    options, crash, backup_first, tmp_path
):
    whole, expected = uninterrupted(options)
    assert whole.events

    for attempt in range(2):
        callback, again = braking(**options), model()
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        order = [backup, callback] if backup_first else [callback, backup]
        if attempt == 0:
            with pytest.raises(Crash):
                fit(again, *order, CrashAt(crash), validation_split=0.125)
        else:
            fit(again, *order, validation_split=0.125)
    assert callback.policy.initial_loss == pytest.approx(whole.policy.initial_loss, rel=1e-6)
    assert summary(callback.events) == summary(whole.events)[-len(callback.events) :]
    # With the backup first, the end of the last epoch is processed after resuming.
    after = [e for e in whole.events if e["epoch"] >= crash]
    assert len(after) <= len(callback.events) <= len(after) + 1
    assert_same(end_of(again, callback), expected)


class InterruptOnce(keras.callbacks.Callback):
    """Simulate an interrupted notebook cell, in the middle of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = (epoch, batch)
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.at = None
            raise KeyboardInterrupt


@pytest.mark.parametrize("backup_first", [False, True])
@pytest.mark.parametrize(
    ("options", "epoch"),
    [
        (GOAL, 1),
        (GOAL, 3),
        ({"target": 0.9999, "patience": 3}, 3),  # it brakes at the end of the epoch before
        (EASED, 4),
    ],
)
def test_an_interrupted_training_continues_with_the_same_objects(
    options, epoch, backup_first, tmp_path
):
    """``BackupAndRestore`` undoes the steps of the unfinished epoch; so do events and records."""

    def callbacks(name):
        logger = EnergyLogger(every=3, csv_path=tmp_path / f"{name}.csv")
        return braking(**options), logger

    (whole, energy), straight = callbacks("whole"), model()
    fit(straight, whole, energy)
    assert whole.events
    (callback, records), again = callbacks("again"), model()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    order = [callback, records, InterruptOnce(epoch, batch=6)]
    order.insert(0 if backup_first else 2, backup)
    with pytest.raises(KeyboardInterrupt):
        fit(again, *order)
    fit(again, *order)
    assert summary(callback.events) == summary(whole.events)
    assert_same(end_of(again, callback), end_of(straight, whole))
    assert [r["step"] for r in records.records] == [r["step"] for r in energy.records]
    stored = [{name: float(v) for name, v in row.items()} for row in rows_of(records.csv_path)]
    assert stored == records.records
    ours, theirs = ([r["dissipated"] for r in log.records] for log in (records, energy))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_an_epoch_end_missing_from_the_file_is_processed_after_resuming(tmp_path):
    """With ``ModelCheckpoint`` first, its file lacks the braking at the end of the third epoch."""
    options = {"target": 0.9999, "patience": 3}
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    whole, straight = braking(**options), model()
    fit(straight, saving, whole)
    (event,) = whole.events
    assert event["epoch"] == 2
    again = keras.models.load_model(tmp_path / "3.keras")
    assert float(again.optimizer.friction.numpy()) == 2.0
    callback = braking(**options)
    with pytest.warns(
        UserWarning, match="resumes after step 24. A saved model does not contain the best"
    ):
        fit(again, callback, initial_epoch=3)
    assert [(e["action"], e["epoch"]) for e in callback.events] == [("brake", 2)]
    assert float(again.optimizer.friction.numpy()) == 20.0


def test_a_file_saved_before_the_end_of_the_epoch_has_the_validation_result(tmp_path):
    """The initial weights have the best validation loss, so each epoch makes it worse."""
    options = {"target": 0.9999, "overfitting_patience": 1}
    x = np.random.default_rng(1).normal(size=(16, 3))
    validation = {"validation_data": (x, x @ FIRST), "epochs": 3}
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    whole = braking(**options)
    fit(model(), saving, whole, **validation)
    (event,) = whole.events
    assert (event["action"], event["epoch"]) == ("brake", 1)
    callback = braking(**options)
    with pytest.warns(UserWarning, match="resumes after step 16"):
        saved = keras.models.load_model(tmp_path / "2.keras")
        fit(saved, callback, initial_epoch=2, **validation)
    assert summary(callback.events)[0][:3] == summary(whole.events)[0][:3]


def test_the_best_weights_of_one_model_are_not_restored_in_another(tmp_path):
    callback, first = braking(target=0.9, restore_best_weights=True), model()
    fit(first, callback, keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"))
    second = keras.models.load_model(tmp_path / "2.keras")
    with pytest.warns(UserWarning, match="the search for the best starts again from here"):
        fit(second, callback, epochs=3, initial_epoch=2)
    assert np.abs(second.get_weights()[0] - first.get_weights()[0]).max() > 1e-3


@pytest.mark.parametrize("steps_known", [True, False])
@pytest.mark.parametrize("saver_first", [False, True])
def test_a_file_saved_at_the_end_of_an_epoch_includes_its_last_step(
    steps_known, saver_first, tmp_path
):
    """This includes data of unknown length, where the last step cannot be recognized."""
    if saver_first and not steps_known and keras.backend.backend() == "jax":
        pytest.skip("Keras on JAX undoes what callbacks set after the last step of such data")
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 3)), rng.normal(size=(8, 1))) for _ in range(STEPS)]
    callback, one = braking(target=0.9999, average_steps=50), model()
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    order = [saving, callback] if saver_first else [callback, saving]
    one.fit(
        (batch for batch in batches),
        steps_per_epoch=STEPS if steps_known else None,
        verbose=0,
        callbacks=order,
    )
    average = callback.policy.state.average
    saved = keras.models.load_model(tmp_path / "1.keras").optimizer.braking_state.numpy()
    assert saved[:4] == pytest.approx([0, STEPS, callback.policy.initial_loss, average], rel=1e-5)


def test_braking_in_the_last_step_of_data_of_unknown_length_holds():
    batches = [(np.ones((8, 3)), np.ones((8, 1))) for _ in range(STEPS)]
    callback, one = braking(target=1e9, target_is="loss", average_steps=STEPS, factor=3), model()
    one.fit((batch for batch in batches), verbose=0, callbacks=[callback])
    assert [event["step"] for event in callback.events] == [STEPS]
    assert float(one.optimizer.friction.numpy()) == 6.0


# --- the energies -----------------------------------------------------------------------------


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("backup_first", [False, True])
def test_energy_records_and_file_continue_after_a_crash(every, backup_first, tmp_path):
    whole = EnergyLogger(every, csv_path=tmp_path / "whole.csv")
    fit(model(), whole)
    for attempt in range(2):
        energy, again = EnergyLogger(every, csv_path=tmp_path / "again.csv"), model()
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        order = [backup, energy] if backup_first else [energy, backup]
        if attempt == 0:
            with pytest.raises(Crash):
                fit(again, *order, CrashAt(4))
            with (tmp_path / "again.csv").open("a", encoding="utf-8") as file:
                file.write("99,1,1,2,1,1\n100,1,1,")  # after the saved step, and cut off
        else:
            fit(again, *order)
    steps = [record["step"] for record in whole.records]
    assert [record["step"] for record in energy.records] == steps
    for name in ("kinetic", "dissipated"):
        ours, theirs = ([r[name] for r in log.records] for log in (energy, whole))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    stored = [{name: float(v) for name, v in row.items()} for row in rows_of(energy.csv_path)]
    assert stored == energy.records


def test_records_and_file_continue_in_a_second_fit_and_start_again_with_a_new_optimizer(tmp_path):
    energy, first = EnergyLogger(csv_path=tmp_path / "energy.csv"), model()
    fit(first, energy, epochs=2)
    fit(first, energy, epochs=1)
    assert [record["step"] for record in energy.records] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [int(row["step"]) for row in rows_of(energy.csv_path)] == [STEPS, 2 * STEPS, 3 * STEPS]
    fit(model(), energy, epochs=1)
    assert [record["step"] for record in energy.records] == [STEPS]
    assert [int(row["step"]) for row in rows_of(energy.csv_path)] == [STEPS]
    assert energy.records[0]["dissipated"] < json.loads(rows_of(energy.csv_path)[0]["potential"])


@pytest.mark.parametrize(("end", "stored"), [(-3, [STEPS]), (0, []), (9, [])])
def test_a_file_cut_by_a_crash_is_continued_after_its_last_complete_line(end, stored, tmp_path):
    path, first = tmp_path / "energy.csv", model()
    fit(first, EnergyLogger(csv_path=path), epochs=2)
    whole = rows_of(path)
    path.write_bytes(path.read_bytes()[:end])  # cut in the last number; nothing; cut in the header
    energy = EnergyLogger(csv_path=path)
    fit(first, energy, epochs=1)
    assert [record["step"] for record in energy.records] == [*stored, 3 * STEPS]
    assert rows_of(path)[: len(stored)] == [
        {name: str(float(v)) if name != "step" else v for name, v in row.items()}
        for row in whole[: len(stored)]
    ]


def test_a_foreign_file_is_refused(tmp_path):
    path, first = tmp_path / "mine.csv", model()
    fit(first, epochs=1)
    texts = {
        "a,b\n1,2\n": "its first line is not step,",
        "step,kinetic,potential,total,dissipated,friction\na,1,2,3,4,5\n": "to float: 'a'",
        "step,kinetic,potential,total,dissipated,friction\n8,1,2\n": "shorter",
    }
    for text, why in texts.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=f"was not written by EnergyLogger.*{why}"):
            fit(first, EnergyLogger(csv_path=path), epochs=1)
        assert path.read_text() == text
