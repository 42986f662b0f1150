"""Trainings under Keras' policies that compute in half precision."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal

from resbuilder import SearchConfig, TrainConfig, minimal_architecture, search
from resbuilder.evaluation import evaluate
from resbuilder.training import RegularizedModel, Trainer, TrainingData

SMALL = {"dataset": "digits", "train_limit": 60, "flip": False}
HALF = pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16"], indirect=True)


@pytest.fixture
def half(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@HALF
def test_label_smoothing_adds_the_same_to_the_loss_of_rounded_logits(half):
    image = keras.Input((3,))
    network = keras.Model(image, keras.layers.Dense(4)(image))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = ops.cast(np.random.default_rng(0).normal(size=(5, 4)), half.removeprefix("mixed_"))
    labels = np.array([0, 1, 2, 3, 0])
    rounded = ops.convert_to_numpy(ops.cast(logits, "float64"))
    crossentropy = -(rounded - np.log(np.exp(rounded).sum(axis=1, keepdims=True)))
    smoothed = 0.9 * crossentropy[np.arange(5), labels] + 0.1 * crossentropy.mean(axis=1)
    model = RegularizedModel(network, {}, label_smoothing=0.1)
    model.compile("adam", loss)
    found = model.compute_loss(None, labels, logits, training=True)
    assert_allclose(float(found), smoothed.mean(), rtol=1e-6)


@HALF
@pytest.mark.slow
def test_both_methods_find_a_network(half, tmp_path):
    race = SearchConfig(**SMALL, method="race", flops=8e5, depths="1", total_epochs=9)
    thesis = SearchConfig(
        **SMALL, flops=2e5, width=4, stages=2, rounds=1, insertions=1, epochs=1, tau_layer=0.0
    )
    for config in (race, thesis):
        run = tmp_path / config.method
        search(config, run)
        assert 0 <= evaluate(run, "test")["accuracy"] <= 1


@pytest.mark.parametrize("half", ["mixed_float16"], indirect=True)
def test_every_training_begins_with_the_same_loss_scale(half):
    config = TrainConfig(**SMALL, width=2, stages=1, epochs=1)
    data = TrainingData.load(config)
    architecture = minimal_architecture((8, 8, 1), 10, width=2, stages=1)
    trainer = Trainer(architecture, data, config, 0, regularized=False)

    def state():
        return [ops.convert_to_numpy(v) for v in trainer.model.optimizer.variables]

    before = state()
    trainer.fit(0, regularize=False)
    assert any((a != b).any() for a, b in zip(before, state(), strict=True))
    trainer.reset()
    for a, b in zip(before, state(), strict=True):
        assert_array_equal(a, b)
