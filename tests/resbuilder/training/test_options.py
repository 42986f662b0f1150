"""Averaged weights, schedules, label smoothing and weight decay, on every backend."""

import keras
import numpy as np
import pytest

from resbuilder import TrainConfig, minimal_architecture, resnet_architecture
from resbuilder.datasets.batches import Augmentation
from resbuilder.training import Trainer, TrainingData
from resbuilder.training.schedule import RateSchedule

pytestmark = pytest.mark.any_backend
SETTINGS = {
    "dataset": "digits",
    "train_limit": 100,
    "batch_size": 32,
    "epochs": 2,
    "learning_rate": 1e-2,
    "lambda_l2": 0.0,
}
STEPS = 6  # 80 of the 100 images train, in three batches
NETWORK = minimal_architecture((8, 8, 1), 10, 4, stages=1)


@pytest.fixture(scope="module")
def data():
    return TrainingData.load(TrainConfig(**SETTINGS))


def trainer(data, network=NETWORK, **settings):
    config = TrainConfig(**SETTINGS | settings)
    t = Trainer(network, data, config, seed=3, regularized=False)
    # One step at a time, so that a callback sees each of them.
    t.model.steps_per_execution = 1
    return t


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


class Recorder(keras.callbacks.Callback):
    """Records the weights and the learning rate after each step."""

    def __init__(self, trainer):
        super().__init__()
        self.trainer, self.weights, self.rates = trainer, [], []

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.trainer.model.jax_state_sync()
        self.weights.append(arrays(self.trainer.network.weights))
        self.rates.append(float(self.trainer.optimizer.learning_rate))


def recorded(t, **kwargs):
    recorder = Recorder(t)
    return t.fit(7, regularize=False, callbacks=[recorder], **kwargs), recorder


@pytest.mark.slow_on("jax")
def test_the_rate_rises_and_falls_to_zero_with_every_step(data):
    _, recorder = recorded(trainer(data, schedule="cosine", warmup=1 / 3))
    falling = [1e-2 * (1 + np.cos(np.pi * n / 4)) / 2 for n in range(4)]
    np.testing.assert_allclose(recorder.rates, [5e-3, 1e-2, *falling], rtol=1e-5)


@pytest.mark.parametrize("warmup", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("steps", [15, 21, 50, 110])
def test_the_rate_never_rises_above_its_peak(warmup, steps):
    schedule = RateSchedule(0.5, cosine=True, warmup=warmup)
    rates = [float(schedule.rate(float(n), float(steps))) for n in range(steps)]
    assert max(rates) <= 0.5 * (1 + 1e-6)
    assert rates == sorted(rates[: int(warmup * steps)]) + sorted(
        rates[int(warmup * steps) :], reverse=True
    )


@pytest.mark.slow_on("jax")
def test_each_training_starts_the_schedule_again(data):
    t = trainer(data, schedule="cosine", epochs=1)
    rates = [recorded(t)[1].rates for _ in range(2)]
    np.testing.assert_allclose(rates[0], 1e-2 * np.array([1, 0.75, 0.25]), rtol=1e-5)
    assert rates[0] == rates[1]


def test_averages_follow_their_formula_and_include_the_moving_statistics(data):
    t = trainer(data, ema=0.5)
    initial = arrays(t.network.weights)
    record, recorder = recorded(t)
    expected = initial
    for n, weights in enumerate(recorder.weights, 1):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = [decay * a + (1 - decay) * w for a, w in zip(expected, weights, strict=True)]
    averaged = arrays(t.network.weights)
    for found, computed in zip(averaged, expected, strict=True):
        np.testing.assert_allclose(found, computed, rtol=1e-5, atol=1e-6)
    moving = [w.path for w in t.network.weights if "moving_variance" in w.path]
    assert moving and len(recorder.weights) == STEPS
    # All results, including those within the training, are those of the averages.
    assert record["validation"]["loss"] == pytest.approx(t.evaluate("validation")["loss"], rel=1e-5)
    assert record["test"]["loss"] == pytest.approx(t.evaluate("test")["loss"], rel=1e-5)


def test_averages_do_not_change_the_training_itself(data, tmp_path):
    plain, averaging = trainer(data), trainer(data, ema=0.9)
    for t in (plain, averaging):
        t.fit(7, regularize=False)
    raw, averaged = tmp_path / "raw.keras", tmp_path / "averaged.keras"
    averaging.save(raw, for_resuming=True)
    averaging.save(averaged)
    found = [keras.models.load_model(file, compile=False).get_weights() for file in (raw, averaged)]
    for last, mean, one in zip(*found, plain.network.get_weights(), strict=True):
        np.testing.assert_allclose(last, one, rtol=1e-5, atol=1e-6)
        assert not np.array_equal(last, mean)


def test_label_smoothing_equals_keras_in_training_and_is_off_in_evaluation(data):
    ε = 0.3
    t = trainer(data, label_smoothing=ε)
    x = data.dataset.x_train[:10].astype("float32")
    y = data.dataset.y_train[:10]
    logits = np.array(keras.ops.convert_to_numpy(t.network(x)))
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=ε)(
        keras.utils.to_categorical(y, 10), logits
    )
    found = t.model.compute_loss(None, keras.ops.convert_to_tensor(y), t.network(x), training=True)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    evaluated = t.model.compute_loss(
        None, keras.ops.convert_to_tensor(y), t.network(x), training=False
    )
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    assert float(evaluated) == pytest.approx(float(plain), rel=1e-5)


def test_label_smoothing_counts_images_by_their_weight_whatever_the_shape_of_the_labels(data):
    t = trainer(data, label_smoothing=0.3)
    x = keras.ops.convert_to_tensor(data.dataset.x_train[:6].astype("float32"))
    y, logits = data.dataset.y_train[:6], t.network(x)

    def loss(labels, outputs, weights=None):
        weights = None if weights is None else keras.ops.convert_to_tensor(weights)
        labels = keras.ops.convert_to_tensor(labels)
        return float(t.model.compute_loss(None, labels, outputs, weights, training=True))

    expected = loss(y, logits)
    assert loss(y[:, None], logits) == pytest.approx(expected, rel=1e-5)
    weights = np.array([2, 0, 1, 0, 1, 0], "float32")
    weighted = loss(y, logits, weights)
    assert loss(y[:, None], logits, weights[:, None]) == pytest.approx(weighted, rel=1e-5)
    # Images of weight 0 do not count: only the number of images in the mean includes them.
    some = logits[::2]
    alone = loss(y[::2], some, weights[::2]) * 3 / 6
    assert weighted == pytest.approx(alone, rel=1e-5)


def test_the_options_of_augmentation_reach_the_batches(data):
    assert trainer(data, shift=0.1, flip=False)._augmentation == Augmentation(0.1, False)
    assert trainer(data, shift=0.0, flip=True)._augmentation == Augmentation(0.0, True)
    assert trainer(data, shift=0.0, flip=False)._augmentation is None


def test_a_fraction_of_the_training_images_is_for_validation():
    config = TrainConfig(dataset="digits", train_limit=50, validation_fraction=0.4)
    split = TrainingData.load(config).split
    assert (len(split.train), len(split.validation)) == (30, 20)


def test_only_kernels_decay(data):
    # The names of some weights are parts of the names of others.
    network = resnet_architecture((8, 8, 1), 10, (4,), (1,), "small")
    decayed = trainer(data, network, weight_decay=0.5, epochs=1)
    zeros = [np.zeros(v.shape, "float32") for v in decayed.model.trainable_variables]
    before = {
        w.path: a
        for w, a in zip(decayed.network.weights, arrays(decayed.network.weights), strict=True)
    }
    decayed.optimizer.apply([keras.ops.convert_to_tensor(z) for z in zeros])
    for weight in decayed.network.trainable_weights:
        factor = 1 - 1e-2 * 0.5 if weight.path.endswith("kernel") else 1
        (after,) = arrays([weight])
        np.testing.assert_allclose(after, factor * before[weight.path], rtol=1e-5)


def test_a_checkpoint_in_a_training_has_the_averages_that_were_validated(data, tmp_path):
    t = trainer(data, ema=0.97, epochs=3)
    file = tmp_path / "checkpoint.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(file, save_best_only=True)
    losses = t.fit(0, regularize=False, callbacks=[checkpoint])["history"]["val_loss"]
    network = keras.models.load_model(file)
    network.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    held_out, d = data.split.validation, data.dataset
    found = network.evaluate(d.x_train[held_out], d.y_train[held_out], verbose=0)
    assert found == pytest.approx(min(losses), rel=1e-5)
