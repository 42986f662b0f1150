"""Networks in which some normalizations have a scale γ and others have none, pruned in training."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.testing import assert_allclose

from resbuilder.morphnet import GradualPruning, MorphNetRegularizer, prune

random = np.random.default_rng(0)
X = random.normal(size=(32, 8, 8, 3)).astype("float32")
Y = random.integers(0, 2, 32)


def compiled(image, output, **adam):
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(output)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2, **adam), loss, jit_compile=False)
    return model


def preactivated(scale):
    """Return a network of two residual blocks, each ending in a normalization with γ or without."""
    image = keras.Input((8, 8, 3))
    trunk = layers.Conv2D(8, 3, padding="same")(image)
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(trunk))
        x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        trunk = layers.Add()([trunk, layers.BatchNormalization(scale=scale)(x)])
    return compiled(image, layers.ReLU()(trunk))


def forked(scale, **adam):
    """Return a network with a normalization that a convolution reads, and another one with γ."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(image)
    x = layers.BatchNormalization(scale=scale, name="before")(x)
    left = layers.Conv2D(8, 3, padding="same")(x)
    right = layers.BatchNormalization(name="behind")(x)
    right = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(right))
    return compiled(image, layers.Add()([left, right]), **adam)


@pytest.mark.parametrize("network", [preactivated, forked])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.any_backend
def test_a_gradually_pruned_network_computes_what_it_did_in_training(network, scale):
    keras.utils.set_random_seed(0)
    model = network(scale)
    pruning = GradualPruning(flops=0.5, begin=0, end=1, verbose=False)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[pruning])
    expected = model.predict(X, verbose=0)
    assert_allclose(pruning.pruned().predict(X, verbose=0), expected, atol=1e-5)


@pytest.mark.any_backend
def test_averaged_weights_of_removed_channels_are_zero_after_training(recwarn):
    keras.utils.set_random_seed(0)
    model = forked(True, use_ema=True, ema_momentum=0.9)
    pruning = GradualPruning(flops=0.5, begin=0, end=1, verbose=False)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[pruning])
    expected = model.predict(X, verbose=0)
    assert_allclose(pruning.pruned().predict(X, verbose=0), expected, atol=1e-5)
    assert not [w for w in recwarn if "removed" in str(w.message)]


def test_a_channel_that_is_read_before_its_scale_stays_alive():
    keras.utils.set_random_seed(0)
    model = forked(scale=False)
    model.get_layer("behind").gamma.assign(np.repeat([0.0, 1.0], 4))
    assert MorphNetRegularizer(model).alive()["first"].all()

    kernel = model.get_layer("first").kernel
    kernel.assign(ops.convert_to_numpy(kernel) * np.repeat([0.0, 1.0], 4))
    assert MorphNetRegularizer(model).alive()["first"].tolist() == [False] * 4 + [True] * 4


def test_scales_do_not_rank_channels_that_a_normalization_without_one_rescales():
    with pytest.raises(ValueError, match="'first' have none; use importance='magnitude'"):
        prune(forked(scale=False), flops=0.5, importance="gamma")
