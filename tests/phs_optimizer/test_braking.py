"""The braking callback in real trainings, compared with the motion computed in numpy."""

import json
import math
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, GoalOrientedBraking
from phs_optimizer.direction import by_name

STEP, MASS, FRICTION = 0.05, 1.0, 6.0  # overdamped on the parabola: the loss falls steadily
BATCH, STEPS = 4, 16  # per epoch
GOAL = 0.2  # of the loss, which starts at 1


def parabola(optimizer=None, regularizer=None, dtype=None, **options):
    """Return a model with one weight w, initially 1, and the loss w² for the data below."""
    dense = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", kernel_regularizer=regularizer, dtype=dtype
    )
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(optimizer or PHS(STEP, MASS, FRICTION), options.pop("loss", "mse"), **options)
    return model


def fit(model, *callbacks, epochs=6, validation_optimum=None, **options):
    """Train w towards 0; the validation loss is lowest at w = ``validation_optimum``."""
    x, y = np.ones((BATCH * STEPS, 1)), np.zeros((BATCH * STEPS, 1))
    if validation_optimum is not None:
        options["validation_data"] = (x[:BATCH], y[:BATCH] + validation_optimum)
    options = {"epochs": epochs, "batch_size": BATCH, "verbose": 0, "shuffle": False} | options
    return model.fit(x, y, callbacks=list(callbacks), **options)


def braking(target=GOAL, target_is="loss", factor=3, average_steps=5, **options):
    """Return the callback with the settings that most tests need."""
    options = {"verbose": 0} | options
    return GoalOrientedBraking(target, target_is, factor, average_steps, **options)


def weight(model):
    return float(keras.ops.convert_to_numpy(model.trainable_variables[0])[0, 0])


def friction(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.friction))


def motion(goal, epochs=6, factor=3, n=5, execution=1, accumulation=1):
    """Return the step after which it must brake, and the final w, from the equations alone."""
    w, p, gamma, losses, braked, gradient = 1.0, 0.0, FRICTION, [], None, 0.0
    for step in range(1, epochs * STEPS + 1):
        losses.append(w**2)
        gradient += 2 * w / accumulation
        if step % accumulation == 0:
            p += -STEP * gamma / MASS * p - STEP * gradient
            w += STEP / MASS * p
            gradient = 0.0
        in_epoch = (step - 1) % STEPS + 1
        if in_epoch % execution and in_epoch != STEPS:
            continue
        together = (in_epoch - 1) % execution + 1  # Keras reports the mean of these
        losses[-together:] = [np.mean(losses[-together:])] * together
        weights = (1 - 1 / n) ** np.arange(step - 1, -1, -1)
        if not braked and step >= n and np.average(losses, weights=weights) <= goal(losses):
            braked, gamma = step, gamma * factor
    return braked, w


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("target", "target_is", "goal"),
    [
        (0.75, "reduction", lambda losses: 0.25 * np.mean(losses[:10])),
        (0.2, "remaining", lambda losses: 0.2 * np.mean(losses[:10])),
        (0.2, "loss", lambda losses: 0.2),
    ],
)
def test_it_brakes_when_the_average_reaches_the_goal(target, target_is, goal):
    callback, model = braking(target, target_is), parabola()
    history = fit(model, callback)
    step, w = motion(goal)
    (event,) = callback.events
    assert (event["action"], event["step"], event["epoch"]) == ("brake", step, (step - 1) // STEPS)
    assert event["friction"] == friction(model) == 3 * FRICTION
    before = (step - 1) // STEPS
    assert history.history["friction"] == [FRICTION] * before + [3 * FRICTION] * (6 - before)
    # The weight, too, is where the higher friction must have brought it.
    assert weight(model) == pytest.approx(w, rel=1e-4)
    assert abs(w - motion(lambda losses: -1)[1]) > 0.1 * abs(w)


@pytest.mark.any_backend
def test_it_does_not_brake_before_the_goal():
    callback, model = braking(1e-9), parabola()
    history = fit(model, callback)
    assert callback.events == []
    assert history.history["friction"] == [FRICTION] * 6
    assert weight(model) == pytest.approx(motion(lambda losses: -1)[1], rel=1e-4)
    steps, losses = zip(*callback.trace, strict=True)
    assert steps[-1] > 5 * STEPS
    assert list(losses) == sorted(losses, reverse=True)


def not_on_torch(compiled, optimizer, reference, reason):
    mark = pytest.mark.skipif(keras.backend.backend() == "torch", reason=reason)
    return pytest.param(compiled, optimizer, reference, marks=mark)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("compiled", "optimizer", "reference"),
    [
        ({"jit_compile": False}, {}, {}),
        not_on_torch({"jit_compile": True}, {}, {}, "torch.compile takes half a minute"),
        not_on_torch({"steps_per_execution": 4}, {}, {"execution": 4}, "not offered"),
        # 7 does not divide the steps of an epoch.
        not_on_torch({"steps_per_execution": 7}, {}, {"execution": 7}, "not offered"),
        ({}, {"gradient_accumulation_steps": 2}, {"accumulation": 2}),
    ],
)
def test_it_brakes_at_the_same_loss_however_steps_are_executed(compiled, optimizer, reference):
    callback = braking()
    model = parabola(PHS(STEP, MASS, FRICTION, **optimizer), **compiled)
    fit(model, callback, epochs=8)
    step, w = motion(lambda losses: GOAL, epochs=8, **reference)
    assert [event["step"] for event in callback.events] == [step]
    assert weight(model) == pytest.approx(w, rel=1e-4)


@pytest.mark.any_backend
def test_it_brakes_the_optimizer_inside_the_loss_scaling_of_mixed_precision():
    inner, callback = PHS(STEP, MASS, FRICTION), braking()
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=256.0)
    model = parabola(optimizer, dtype="mixed_float16")
    fit(model, callback)
    step, w = motion(lambda losses: GOAL)
    assert [event["step"] for event in callback.events] == [step]
    assert float(keras.ops.convert_to_numpy(inner.friction)) == 3 * FRICTION
    assert weight(model) == pytest.approx(w, rel=5e-3)


REPLICAS = """
import json
import keras, numpy as np, tensorflow as tf
from phs_optimizer import PHS, GoalOrientedBraking

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def trained(strategy):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(64, 3)), rng.normal(size=(64, 1))
    with strategy.scope():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(PHS(0.1, 1.0, 2.0), "mse")
    braking = GoalOrientedBraking(0.8, average_steps=6, factor=3, minima=3, exploitation=1,
                                  patience=4, verbose=0)
    model.fit(x, x @ [[1.0], [2.0], [-1.0]] + 0.1 * noise, batch_size=8, epochs=9, verbose=0,
              shuffle=False, callbacks=[braking])
    weights = np.concatenate([w.ravel() for w in model.get_weights()]).tolist()
    events = [(e["action"], e["step"], e["friction"]) for e in braking.events]
    losses = [e["loss"] for e in braking.events]
    return strategy.num_replicas_in_sync, events, losses, weights

print(json.dumps([trained(tf.distribute.get_strategy()),
                  trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))]))
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a strategy of TensorFlow")
@pytest.mark.slow
def test_two_replicas_brake_and_accelerate_like_one_device():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert (one[0], two[0]) == (1, 2)
    assert [action for action, *_ in one[1]] == ["brake", "accelerate"] * 2 + ["brake"]
    assert two[1] == one[1]
    assert two[2] == pytest.approx(one[2], rel=1e-4)
    assert two[3] == pytest.approx(one[3], rel=1e-4, abs=1e-5)


@pytest.mark.any_backend
def test_the_loss_excludes_regularization_terms():
    callback, model = braking(), parabola(regularizer=lambda w: 5 + 0 * keras.ops.sum(w))
    history = fit(model, callback)
    assert min(history.history["loss"]) > 5
    assert [event["step"] for event in callback.events] == [motion(lambda losses: GOAL)[0]]


@pytest.mark.any_backend
def test_the_loss_excludes_terms_that_change_fast_to_three_percent():
    """Keras' "l2" falls to a third within an epoch; the metric is the loss without it."""

    def averages(monitor):
        keras.utils.set_random_seed(0)
        dense = [
            keras.layers.Dense(units, activation, kernel_regularizer="l2")
            for units, activation in ((128, "relu"), (128, "relu"), (4, None))
        ]
        model = keras.Sequential([keras.Input((16,)), *dense])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        plain = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="plain")
        model.compile(PHS.from_sgd(0.1, 0.9), loss, metrics=[plain])
        rng = np.random.default_rng(0)
        x = rng.normal(size=(1600, 16)).astype("float32")
        callback = braking(1e-9, average_steps=10, monitor=monitor)
        model.fit(x, x[:, :4].argmax(1), 16, 2, verbose=0, shuffle=False, callbacks=[callback])
        return np.array(callback.trace)

    assert averages("plain")[-1, 1] < 0.6
    np.testing.assert_allclose(averages("loss"), averages("plain"), rtol=0.03)


@pytest.mark.any_backend
@pytest.mark.parametrize("first", [None, lambda w: 5 + 0 * keras.ops.sum(w)])
def test_a_second_training_does_not_use_the_regularization_of_the_first(first):
    callback = braking()
    second = None if first else lambda w: 5 + 0 * keras.ops.sum(w)
    fit(parabola(regularizer=first), callback)
    fit(parabola(regularizer=second), callback)
    assert [event["step"] for event in callback.events] == [motion(lambda losses: GOAL)[0]]


@pytest.mark.any_backend
def test_a_metric_can_be_averaged_instead_of_the_loss():
    def tenth(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1) / 10

    callback = braking(GOAL / 10, monitor="tenth")
    fit(parabola(metrics=[tenth]), callback)
    step, _ = motion(lambda losses: GOAL)
    assert [event["step"] for event in callback.events] == [step]
    assert GOAL / 20 < callback.events[0]["loss"] <= GOAL / 10


class Recorder(keras.callbacks.Callback):
    """Record weights, momenta and kinetic energy at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.momenta, self.kinetic = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        momenta = [np.array(keras.ops.convert_to_numpy(p)) for p in optimizer.momenta]
        self.weights.append(self.model.get_weights())
        self.momenta.append(momenta)
        self.kinetic.append(sum(np.sum(p.astype("float64") ** 2) for p in momenta) / 2 / MASS)


def swinging():
    """Return the parabola with low friction, so that the weight swings through the minimum."""
    return parabola(PHS(STEP, MASS, 0.2))


@pytest.mark.any_backend
def test_patience_brakes_from_the_best_weights_with_zero_momentum():
    callback, before, after, model = braking(1e-9, patience=5), Recorder(), Recorder(), swinging()
    history = fit(model, before, callback, after, validation_optimum=0.0)
    best = int(np.argmin(history.history["val_loss"][:5]))
    assert best < 4
    (event,) = callback.events
    assert (event["action"], event["epoch"], event["friction"]) == ("brake", 4, pytest.approx(0.6))
    assert event["reason"].endswith("; from the best weights")
    np.testing.assert_array_equal(after.weights[4], before.weights[best])
    assert np.all(before.momenta[4][0] != 0)
    assert np.all(after.momenta[4][0] == 0)
    # The training continues from there.
    np.testing.assert_array_equal(after.weights[3], before.weights[3])
    assert after.weights[5] != after.weights[4]


@pytest.mark.any_backend
def test_after_an_acceleration_the_search_for_the_best_weights_starts_again():
    options = {"patience": 3, "minima": 2, "exploitation": 2, "port_energy": 50}
    options |= {"restore_best_weights": False}
    callback, before, after = braking(1e-9, **options), Recorder(), Recorder()
    history = fit(parabola(), before, callback, after, epochs=8, validation_optimum=0.0)
    observed = [(event["action"], event["epoch"]) for event in callback.events]
    assert observed == [("brake", 2), ("accelerate", 4), ("brake", 7)]
    losses = history.history["val_loss"]
    best = 5 + int(np.argmin(losses[5:]))
    # The first minimum was better, but the weights do not return to it.
    assert min(losses[:5]) < losses[best]
    np.testing.assert_array_equal(after.weights[7], before.weights[best])


@pytest.mark.any_backend
def test_overfitting_brakes_from_the_weights_before_its_onset():
    callback, before, after = braking(1e-9, overfitting_patience=2), Recorder(), Recorder()
    history = fit(parabola(), before, callback, after, epochs=8, validation_optimum=0.6)
    losses = history.history["val_loss"]
    (event,) = callback.events
    best = int(np.argmin(losses[: event["epoch"] + 1]))
    assert 0 < best == event["epoch"] - 2
    assert event["reason"].startswith("overfitting: nothing better on validation data for 2 epochs")
    np.testing.assert_array_equal(after.weights[best + 2], before.weights[best])


def automatic(**options):
    """Return automatic braking with the settings that most tests need."""
    return GoalOrientedBraking("auto", factor=3, **({"patience": 2, "verbose": 0} | options))


@pytest.mark.any_backend
def test_automatic_braking_stops_the_training_with_the_best_weights():
    callback, before, after, model = automatic(), Recorder(), Recorder(), swinging()
    history = fit(model, before, callback, after, epochs=200, validation_optimum=0.3)
    losses, frictions = history.history["val_loss"], history.history["friction"]
    assert len(losses) < 200
    assert [event["action"] for event in callback.events] == ["brake", "brake", "stop"]
    assert [event["friction"] for event in callback.events] == pytest.approx([0.6, 1.8, 1.8])
    assert frictions == sorted(frictions)
    for event in callback.events[:2]:  # from the best weights, at rest
        epoch = event["epoch"]
        best = int(np.argmin(losses[: epoch + 1]))
        np.testing.assert_array_equal(after.weights[epoch], before.weights[best])
        assert np.all(after.momenta[epoch][0] == 0)
    assert callback.events[-1]["epoch"] == len(losses) - 1
    np.testing.assert_array_equal(model.get_weights(), before.weights[int(np.argmin(losses))])


@pytest.mark.any_backend
@pytest.mark.slow
def test_a_higher_validation_accuracy_is_better():
    """Watching 1 − loss as an accuracy gives the same decisions as watching the loss."""

    def accuracy(y_true, y_pred):
        return 1 - keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    events = []
    for validation in ("val_loss", "val_accuracy"):
        callback = automatic(validation=validation)
        model = parabola(PHS(STEP, MASS, 0.2), metrics=[accuracy])
        fit(model, callback, epochs=200, validation_optimum=0.3)
        events.append([event[:4] for event in summary(callback.events)])
    assert events[0] == events[1]
    assert len(events[0]) == 3


@pytest.mark.any_backend
def test_the_metric_says_whether_higher_is_better():
    """R² is 1 − MSE/σ², so it is highest in the epoch in which the loss is lowest."""
    callback = automatic(validation="val_r2_score")
    model = parabola(PHS(STEP, MASS, 0.2), metrics=["r2_score"])
    x, y = np.ones((BATCH * STEPS, 1)), np.zeros((BATCH * STEPS, 1))
    validation = (x[:BATCH], np.array([[0.2], [0.4], [0.2], [0.4]]))
    history = model.fit(
        x, y, BATCH, epochs=100, verbose=0, validation_data=validation, callbacks=[callback]
    ).history
    first, *_, last = callback.events
    scores = history["val_r2_score"][: first["epoch"] + 1]
    assert int(np.argmax(scores)) == int(np.argmin(history["val_loss"][: len(scores)]))
    assert int(np.argmax(scores)) == first["epoch"] - 2  # patience
    assert f"(best val_r2_score {max(scores):.4g})" in first["reason"]
    assert last["action"] == "stop"
    _, score = model.evaluate(*validation, verbose=0)
    assert score == pytest.approx(max(history["val_r2_score"]), rel=1e-4)


def test_names_suggest_a_direction_by_whole_words():
    names = {
        "max": ["val_acc", "top5_accuracy", "roc_auc", "auc_1", "val_cindex"],
        "min": ["val_loss", "vaccine_loss", "accumulated_error"],
        None: ["val_f1", "vaccine", "perplexity"],
    }
    for expected, these in names.items():
        assert [by_name(name) for name in these] == [expected] * len(these)


@pytest.mark.any_backend
def test_a_metric_without_a_direction_needs_validation_mode():
    def agreement(y_true, y_pred):
        return 1 - keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    watching = {"validation": "val_agreement", "restore_best_weights": True}
    with pytest.raises(ValueError, match='does not say whether .* give validation_mode="max"'):
        fit(parabola(metrics=[agreement]), braking(**watching), validation_optimum=0.6)
    losses, callback = [], braking(**watching, validation_mode="max")
    model = parabola(metrics=[agreement])
    losses = fit(model, callback, epochs=8, validation_optimum=0.6).history["val_loss"]
    assert (weight(model) - 0.6) ** 2 == pytest.approx(min(losses), rel=1e-4)
    assert min(losses) < losses[-1]
    with pytest.raises(ValueError, match="validation_mode must be one of"):
        braking(validation_mode="up")


@pytest.mark.any_backend
def test_a_misspelt_validation_result_is_refused():
    callback = braking(validation="val_acc", restore_best_weights=True)
    with pytest.raises(ValueError, match="'val_acc' is not in Keras' logs, which have val_loss:"):
        fit(parabola(), callback, validation_optimum=0.6)


@pytest.mark.any_backend
def test_results_of_other_callbacks_do_not_replace_missing_validation_data():
    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_own"] = float(epoch)

    callback = braking(restore_best_weights=True)
    fit(parabola(), Own(), callback)
    assert [event["action"] for event in callback.events] == ["brake"]


@pytest.mark.any_backend
def test_a_monitored_metric_that_rises_is_refused():
    for monitor, error in (("accuracy", "rises"), ("r2_score", "rises")):
        with pytest.raises(ValueError, match=f"monitor='{monitor}' {error}"):
            fit(parabola(metrics=["r2_score"]), braking(monitor=monitor))


@pytest.mark.any_backend
@pytest.mark.slow
def test_automatic_braking_resumes_from_a_file(tmp_path):
    def trained(model, callback, *more, first=0):
        fit(model, callback, *more, initial_epoch=first, epochs=200, validation_optimum=0.3)
        return [summary([event])[0][:4] for event in callback.events]

    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    straight = trained(swinging(), automatic(), saving)
    # Just after the first braking, when the best weights are those it started from.
    epoch = straight[0][2] + 1
    again = keras.models.load_model(tmp_path / f"{epoch}.keras")
    assert friction(again) == pytest.approx(0.6)
    assert trained(again, automatic(), first=epoch) == straight[1:]


@pytest.mark.any_backend
def test_automatic_braking_needs_a_validation_loss_and_a_stable_last_stage():
    with pytest.raises(ValueError, match="""target="auto" watches 'val_loss'.*: give fit"""):
        fit(swinging(), automatic())
    # αγ/m = 0.3: 0.9 after one stage, 2.7 after two.
    fit(parabola(), automatic(stages=1), epochs=1, validation_optimum=0.0)
    with pytest.raises(ValueError, match="diverges: αγ/m = 2.7 "):
        fit(parabola(), automatic(stages=2), validation_optimum=0.0)


@pytest.mark.any_backend
@pytest.mark.parametrize("optimum", [None, 0.0])
def test_the_best_weights_are_restored_at_the_end_on_request(optimum, tmp_path):
    log = tmp_path / "log"
    callback, recorder = braking(1e-9, restore_best_weights=True, log_path=log), Recorder()
    model = swinging()
    history = fit(model, callback, recorder, validation_optimum=optimum)
    averages = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    best = int(np.argmin(history.history["val_loss"] if optimum is not None else averages))
    assert best < 5
    np.testing.assert_array_equal(model.get_weights(), recorder.weights[best])

    model, recorder = swinging(), Recorder()
    fit(model, braking(1e-9), recorder, validation_optimum=optimum)
    np.testing.assert_array_equal(model.get_weights(), recorder.weights[-1])


@pytest.mark.any_backend
def test_the_port_supplies_its_energy_and_resets_the_friction_for_the_next_minimum():
    callback = braking(0.1, minima=3, exploitation=2, port_energy=0.7)
    before, after, model = Recorder(), Recorder(), parabola()
    history = fit(model, before, callback, after, epochs=18)
    actions = [event["action"] for event in callback.events]
    assert actions == ["brake", "accelerate", "brake", "accelerate", "brake"]
    high, low = 3 * FRICTION, FRICTION
    assert [event["friction"] for event in callback.events] == [high, low, high, low, high]
    assert set(history.history["friction"]) == {high, low}
    accelerated = [e["epoch"] for e in callback.events if e["action"] == "accelerate"]
    for epoch in accelerated:
        supplied = after.kinetic[epoch] - before.kinetic[epoch]
        assert supplied == pytest.approx(0.7 * callback.policy.initial_loss, rel=1e-5)
        assert before.kinetic[epoch] > 0
    # By default, the final weights are the best of all minima: those nearest to 0.
    best = min(before.weights, key=lambda weights: abs(weights[0][0, 0]))
    assert model.get_weights() == best


@pytest.mark.any_backend
def test_the_seed_decides_the_direction_of_the_port():
    def momenta(seed):
        options = {"minima": 2, "exploitation": 2, "seed": seed}
        callback, after = braking(0.5, "reduction", **options), Recorder()
        fit_linear(linear_model(), callback, after, epochs=12)
        (epoch,) = [e["epoch"] for e in callback.events if e["action"] == "accelerate"]
        return np.concatenate([p.ravel() for p in after.momenta[epoch]])

    np.testing.assert_array_equal(momenta(0), momenta(0))
    assert np.abs(momenta(0) - momenta(1)).max() > 1e-3


def linear_model(seed=1):
    """Return a regression on random numbers, whose loss differs from step to step."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(PHS(0.1, 1.0, 2.0), "mse")
    return model


def fit_linear(model, *callbacks, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3))
    y = x @ [[1.0], [2.0], [-1.0]] + 0.1 * rng.normal(size=(64, 1))
    options = {"batch_size": 8, "verbose": 0, "shuffle": False} | options
    return model.fit(x, y, callbacks=list(callbacks), **options)


def summary(events):
    return [(e["action"], e["step"], e["epoch"], e["friction"], e["reason"]) for e in events]


@pytest.mark.any_backend
def test_a_training_resumes_from_a_file_as_if_it_had_not_been_interrupted(tmp_path):
    options = {"target": 0.8, "target_is": "reduction", "average_steps": 6, "minima": 3}
    options |= {"exploitation": 2, "restore_best_weights": False}
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    callback, straight = braking(**options), linear_model()
    fit_linear(straight, callback, saving, epochs=10)
    actions = [event["action"] for event in callback.events]
    assert actions == ["brake", "accelerate", "brake", "accelerate", "brake"]
    turns = [event["epoch"] for event in callback.events]
    # Interrupt while braking, just after the acceleration, and before the last braking.
    for epoch in (turns[0] + 1, turns[1] + 1, turns[3] + 1):
        again = keras.models.load_model(tmp_path / f"{epoch}.keras")
        assert friction(again) == (6 if epoch == turns[0] + 1 else 2)
        resumed = braking(**options)
        fit_linear(again, resumed, initial_epoch=epoch, epochs=10)
        assert summary(resumed.events) == summary(e for e in callback.events if e["epoch"] >= epoch)
        for mine, theirs in zip(again.get_weights(), straight.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.any_backend
def test_another_factor_does_not_change_the_friction_of_a_resumed_training(tmp_path, capsys):
    file, options = tmp_path / "braked.keras", {"average_steps": 6}
    model = linear_model()
    fit_linear(model, braking(0.5, "reduction", **options), epochs=4)
    model.save(file)
    again, resumed = keras.models.load_model(file), braking(0.5, factor=9, verbose=1, **options)
    with pytest.warns(UserWarning, match="resumes with friction 6, but .* factor=9 .* is 18"):
        fit_linear(again, resumed, initial_epoch=4, epochs=5)
    assert friction(again) == 6
    assert "continues after step 32: brakings 1, friction 6" in capsys.readouterr().out


@pytest.mark.any_backend
def test_a_training_continues_with_the_numbers_that_a_resumed_one_would_read():
    callback, model = braking(0.8, "reduction", average_steps=6), linear_model()
    fit_linear(model, callback, epochs=2)
    saved = keras.ops.convert_to_numpy(model.optimizer.braking_state).tolist()
    assert callback.policy.state.to_vector() == saved  # exactly, because those are float32


@pytest.mark.any_backend
def test_a_file_saved_within_the_first_epoch_has_the_initial_loss(tmp_path):
    file = tmp_path / "within.keras"
    callback = braking(0.9, "reduction", average_steps=10)
    fit(parabola(), callback, keras.callbacks.ModelCheckpoint(file, save_freq=14), epochs=1)
    again, resumed = keras.models.load_model(file), braking(0.9, "reduction", average_steps=10)
    assert weight(again) ** 2 < 0.9 * callback.policy.initial_loss
    fit(again, resumed, epochs=1)
    assert resumed.policy.initial_loss == pytest.approx(callback.policy.initial_loss, rel=1e-6)


@pytest.mark.any_backend
def test_a_new_optimizer_starts_a_new_training_for_the_same_callback():
    callback = braking()
    fit(parabola(), callback, epochs=5)
    first = summary(callback.events)
    fit(parabola(), callback, epochs=5)
    assert summary(callback.events) == first
    assert len(first) == 1


@pytest.mark.any_backend
def test_events_and_epochs_are_appended_to_a_file_and_printed(tmp_path, capsys):
    log = tmp_path / "braking.jsonl"
    log.write_text('{"before": 1}\n')
    options = {"minima": 2, "exploitation": 1, "log_path": log, "verbose": 1}
    callback = braking(0.1, **options)
    fit(parabola(), callback, epochs=7)

    def no_json(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = [json.loads(line, parse_constant=no_json) for line in log.read_text().splitlines()]
    assert lines.pop(0) == {"before": 1}
    assert [line for line in lines if "action" in line] == callback.events
    epochs = [line for line in lines if "action" not in line]
    assert [line["epoch"] for line in epochs] == list(range(7))
    assert all(line["loss"] > 0 for line in epochs)
    out = capsys.readouterr().out
    for event in callback.events:
        assert f"{event['action']} at step {event['step']}: {event['reason']}" in out


@pytest.mark.any_backend
def test_a_loss_that_is_not_a_number_is_null_in_the_file(tmp_path):
    log = tmp_path / "log"
    model = parabola(loss=lambda y, p: keras.ops.mean(p) * math.nan)
    fit(model, callback := braking(log_path=log), epochs=1)
    assert json.loads(log.read_text())["loss"] is None
    assert callback.events == []


@pytest.mark.any_backend
def test_a_model_without_a_phs_optimizer_is_refused():
    with pytest.raises(ValueError, match="needs a model compiled with phs_optimizer.PHS, not with"):
        fit(parabola(keras.optimizers.SGD(0.1)), braking())


@pytest.mark.any_backend
def test_unstable_friction_is_reported_before_the_first_step(tmp_path):
    """With αγ/m = 0.3, a factor of 3 is silent, 5 warns (1.5), and 7 would diverge (2.1)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(parabola(), braking(factor=3), epochs=1)
    with pytest.warns(UserWarning, match=r"oscillates: αγ/m = 1.5 .*friction \(γ\) 30"):
        fit(parabola(), braking(factor=5), epochs=1)
    model, log = parabola(), tmp_path / "log"
    with pytest.raises(ValueError, match=r"from 6 to 42, .*diverges: αγ/m = 2.1 .*smaller factor"):
        fit(model, braking(factor=7, log_path=log))
    assert (weight(model), friction(model)) == (1, FRICTION)
    assert not log.exists()
    exponential = PHS(STEP, MASS, FRICTION, friction_step="exponential")
    fit(model := parabola(exponential), callback := braking(factor=1000))
    assert friction(model) == 1000 * FRICTION
    assert len(callback.events) == 1


@pytest.mark.any_backend
def test_only_the_epochs_to_come_must_be_stable():
    """The time step rises to 0.6 after the last epoch, where αγ/m would be 10.8 after braking."""
    rising = keras.optimizers.schedules.PiecewiseConstantDecay([4 * STEPS], [STEP, 0.6])
    model = parabola(PHS(rising, MASS, FRICTION))
    fit(model, callback := braking(factor=3), epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, callback, epochs=4, initial_epoch=2)
    with pytest.raises(ValueError, match="diverges: αγ/m = 10.8"):
        fit(model, callback, epochs=5, initial_epoch=4)


@pytest.mark.any_backend
def test_zero_friction_is_refused():
    with pytest.raises(ValueError, match="0 stays 0: give PHS a friction > 0"):
        fit(parabola(PHS(STEP, MASS, 0)), braking())


@pytest.mark.any_backend
def test_overfitting_patience_without_validation_data_is_refused():
    with pytest.raises(ValueError, match="overfitting_patience watches 'val_loss'.*give fit"):
        fit(parabola(), callback := braking(1e-9, overfitting_patience=2))
    assert callback.events == []


@pytest.mark.any_backend
@pytest.mark.parametrize("target_is", ["reduction", "remaining", "loss"])
def test_a_goal_never_reached_is_reported_with_one_that_would_have_been(target_is, capsys):
    far = {"reduction": 0.9999, "remaining": 1e-4, "loss": 1e-4}[target_is]
    fit(parabola(), callback := braking(far, target_is, verbose=1), epochs=2)
    (line,) = capsys.readouterr().out.strip().splitlines()
    lowest = min(loss for _, loss in callback.trace)
    assert line.startswith("GoalOrientedBraking never braked: the lowest average loss was ")
    assert float(line.split("loss was ")[1].split(",")[0]) <= lowest * 1.001
    assert f"the goal is {callback.policy.target_loss:.4g}" in line
    nearer = float(line.split("target=")[1].split()[0])
    fit(parabola(), again := braking(nearer, target_is), epochs=2)
    assert [event["action"] for event in again.events] == ["brake"]
    # The suggested goal is as strict as possible: it is reached only in the last steps.
    assert again.events[0]["step"] > STEPS


@pytest.mark.any_backend
def test_never_braking_is_reported_even_without_an_average(capsys):
    fit(parabola(), braking(average_steps=40, verbose=1), epochs=2)
    assert "the training had 32 steps, but the average needs 40" in capsys.readouterr().out
    model = parabola(loss=lambda y, p: keras.ops.mean(p) * math.nan)
    fit(model, braking(verbose=1), epochs=1)
    assert "never braked: the average loss is not a number (NaN)" in capsys.readouterr().out


@pytest.mark.any_backend
def test_nothing_is_reported_after_braking_or_without_a_goal(capsys):
    fit(parabola(), braking(verbose=1))
    fit(parabola(), braking(1e-9, verbose=0), epochs=1)
    fit(swinging(), automatic(verbose=1, patience=9), epochs=2, validation_optimum=0.3)
    assert "never braked" not in capsys.readouterr().out


@pytest.mark.any_backend
def test_an_average_longer_than_an_epoch_causes_a_warning():
    with pytest.warns(UserWarning, match=f"average_steps=40 is more than the {STEPS} steps of an"):
        fit(parabola(), braking(average_steps=40), epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(parabola(), braking(average_steps=STEPS), epochs=1)


@pytest.mark.any_backend
def test_an_unknown_monitor_is_refused_at_the_first_step():
    model = parabola(metrics=["mae"])
    with pytest.raises(ValueError, match=r"monitor='error' is not among .* step \(loss, mae\)"):
        fit(model, braking(monitor="error"))
    assert friction(model) == FRICTION


@pytest.mark.any_backend
def test_a_log_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path):
    model = parabola()
    with pytest.raises(FileNotFoundError):
        fit(model, braking(log_path=tmp_path / "no" / "folder"))
    assert weight(model) == 1


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "target must be above 0 and below 1"),
        ({"target": 0, "target_is": "remaining"}, "target must be above 0 and below 1"),
        ({"target": 0.5, "factor": 1}, "factor must be a number > 1, not 1"),
        ({"target": 0.5, "factor": math.inf}, "factor must be a number > 1, not inf"),
        ({"target": "auto", "factor": 1e10, "stages": 4}, "friction by more than 1e30"),
        ({"target": 0.5, "port_energy": 0}, "port_energy must be > 0, not 0"),
        ({"target": 0.5, "port_energy": 2}, "port_energy and seed are only for minima > 1"),
        ({"target": 0.5, "seed": 7}, "port_energy and seed are only for minima > 1"),
        ({"target": 0.5, "restore_best_weights": "no"}, "True or False or None, not 'no'"),
        ({"target": 0.5, "reset_momenta": "never"}, "True or False or None, not 'never'"),
        ({"target": 0.5, "verbose": "0"}, "True or False or 0 or 1, not '0'"),
        ({"target": 0.5, "monitor": None}, "monitor must be a name in Keras' logs, not None"),
        ({"target": 0.5, "validation": 3}, "validation must be a name in Keras' logs, not 3"),
        ({"target": 0.5, "seed": -1}, "seed must be a whole number >= 0, not -1"),
        ({"target": 0.5, "patience": 0}, "patience must be a whole number >= 1, not 0"),
        ({"target": 0.5, "monitor": "accuracy"}, "rises as the training succeeds"),
        ({"target": 0.5, "breaking": 2}, r"unknown option 'breaking'; it takes: target, "),
    ],
)
def test_a_bad_argument_is_named_in_the_error_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GoalOrientedBraking(**options)
