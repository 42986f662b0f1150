"""Averaged weights, precisions, and losses of the user in networks that are pruned."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.testing import assert_allclose

from resbuilder.morphnet import GradualPruning, expand_model, prune, shrink

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 8, 8, 3)).astype("float32")
Y = RNG.normal(size=(16, 4)).astype("float32")


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def classifier(optimizer=None, loss="mse", use_bias=True, **options):
    """Return a network in which half of the channels of "conv" are constant, 3."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, use_bias=use_bias, name="out", dtype="float32")(x))
    conv = model.get_layer("conv")
    conv.kernel.assign(ops.convert_to_numpy(conv.kernel) * np.repeat([0, 1], 8))
    conv.bias.assign(np.repeat([3.0, 0.0], 8))
    if optimizer is not None:
        model.compile(optimizer, loss, **options)
    return model


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(
            lambda: keras.optimizers.Adam(1e-9, use_ema=True),
            marks=pytest.mark.skipif(
                keras.backend.backend() == "jax",
                reason="after a fit with averages, Keras shares their arrays with the weights",
            ),
        ),
        lambda: keras.optimizers.ScheduleFreeAdamW(1e-9, weight_decay=0),
    ],
    ids=["ema", "schedule-free"],
)
def test_averages_keep_what_removed_channels_added(optimizer, use_bias):
    """The learning rate is tiny, so training changes nothing, unless averages lack something."""
    model = classifier(optimizer(), use_bias=use_bias)
    model.fit(X, Y, epochs=3, verbose=0)
    conv = model.get_layer("conv")
    before = model.predict(X, verbose=0)
    small = shrink(model, {"conv": np.any(ops.convert_to_numpy(conv.kernel), axis=(0, 1, 2))})
    small.fit(X, Y, epochs=20, verbose=0)
    assert_allclose(small.predict(X, verbose=0), before, atol=1e-4)


def test_averages_of_new_channels_begin_with_their_weights():
    model = classifier(keras.optimizers.Adam(1e-9, use_ema=True))
    model.fit(X, Y, epochs=3, verbose=0)
    large = expand_model(model, {"conv": 24})
    kernel = ops.convert_to_numpy(large.get_layer("conv").kernel)
    large.fit(X, Y, epochs=20, verbose=0)
    assert_allclose(ops.convert_to_numpy(large.get_layer("conv").kernel), kernel, atol=1e-5)


def test_removed_channels_stay_removed_in_averages_behind_a_loss_scale(recwarn):
    with policy("mixed_float16"):
        model = classifier(keras.optimizers.Adam(1e-2, use_ema=True))
        pruning = GradualPruning(flops=0.5, begin=0, end=1, verbose=False)
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[pruning])
        pruning.pruned()
    assert not [w for w in recwarn if "have weights again" in str(w.message)]


def test_a_loss_that_is_not_to_be_scaled_is_not():
    with policy("mixed_float16"):
        model = classifier(keras.optimizers.Adam(), auto_scale_loss=False)
        small = prune(model, flops=0.5)
        assert not isinstance(small.optimizer, keras.optimizers.LossScaleOptimizer)
        small = prune(classifier(keras.optimizers.Adam()), flops=0.5)
        assert isinstance(small.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("name", ["float64", "bfloat16"])
def test_a_network_of_another_precision_is_pruned(name):
    with policy(name):
        image = keras.Input((8, 8, 3))
        x = layers.PReLU()(layers.Conv2D(16, 3)(image))
        small = prune(keras.Model(image, layers.Conv2D(4, 3)(x)), flops=0.5)
    assert {ops.dtype(weight) for weight in small.weights} == {name}


class OwnLoss(keras.losses.Loss):
    """As in Keras' guide: labels and outputs arrive as floats."""

    def call(self, y, p):
        return ops.mean(ops.square(y - p), axis=-1)


def own_loss(y, p):
    return ops.mean(ops.square(y - p), axis=-1)


@pytest.mark.parametrize("loss", [OwnLoss(), own_loss])
def test_taylor_importance_gives_the_users_loss_what_fit_gives_it(loss):
    whole = np.round(Y).astype("int64")
    model = classifier("sgd", loss)
    model.fit(X, whole, verbose=0)
    small = prune(model, flops=0.5, importance="taylor", data=(X, whole))
    alike = prune(classifier("sgd", "mse"), flops=0.5)
    assert small.get_layer("conv").filters == alike.get_layer("conv").filters


def test_a_gradual_pruning_that_ends_early_says_that_it_is_above_its_budget():
    model = classifier("sgd")
    pruning = GradualPruning(flops=0.5, verbose=False)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[pruning])
    with pytest.warns(UserWarning, match="ended before epoch 5, .* train for more than 5 epochs"):
        pruning.pruned()
