"""Resized models inherit the weights of their remaining channels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from resbuilder.morphnet import ChannelGraph, expand_model, resize, shrink, widened


def outputs(model):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
    return ops.convert_to_numpy(model(images, training=False))


def test_removing_zero_channels_does_not_change_the_outputs(network, kill):
    alive = kill(network)
    assert not all(a.all() for a in alive.values())
    small = shrink(network, alive)
    assert {n: w for n, w in ChannelGraph(small).widths().items() if n in alive} == {
        name: a.sum() for name, a in alive.items()
    }
    assert small.count_params() < network.count_params()
    np.testing.assert_allclose(outputs(small), outputs(network), rtol=1e-4, atol=1e-5)


def test_keeping_everything_copies_the_model(network):
    copy = resize(network, {})
    assert copy is not network
    np.testing.assert_array_equal(outputs(copy), outputs(network))


def test_shrink_then_expand_puts_surviving_weights_first(network, kill):
    alive = kill(network)
    small = shrink(network, alive)
    widths = {n: w for n, w in ChannelGraph(network).widths().items() if n in alive}
    large = expand_model(small, widths)
    assert ChannelGraph(large).widths() == ChannelGraph(network).widths()
    # Removing the new channels must restore the small model, weight by weight.
    added = widened(ChannelGraph(small), widths)
    again = resize(large, {name: np.flatnonzero(c >= 0) for name, c in added.items()})
    for a, b in zip(small.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(outputs(again), outputs(small))


@pytest.mark.any_backend
def test_channels_are_taken_by_number():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, name="a")(inputs)
    x = layers.Conv2D(2, 1, name="b")(layers.BatchNormalization(name="bn")(x))
    model = keras.Model(inputs, x)
    model.get_layer("bn").gamma.assign([1.0, 2.0, 3.0])
    new = resize(model, {"a": [2, -1, 0]})
    kernel = model.get_layer("a").kernel.numpy()
    changed = new.get_layer("a").kernel.numpy()
    np.testing.assert_array_equal(changed[..., [0, 2]], kernel[..., [2, 0]])
    assert changed[..., 1].any()
    assert new.get_layer("bn").gamma.numpy().tolist() == [3, 1, 1]
    kernel = model.get_layer("b").kernel.numpy()
    changed = new.get_layer("b").kernel.numpy()
    np.testing.assert_array_equal(changed[:, :, [0, 2]], kernel[:, :, [2, 0]])


def test_one_name_is_enough_for_a_residual_trunk():
    inputs = keras.Input((4, 4, 3))
    a = layers.Conv2D(5, 1, name="a")(inputs)
    b = layers.Conv2D(5, 1, name="b")(a)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="out")(layers.Add(name="add")([a, b])))
    assert ChannelGraph(resize(model, {"a": [1, 2]})).widths() == {"a": 2, "b": 2, "out": 2}
    with pytest.raises(ValueError, match="add.*no longer match"):
        resize(model, {"a": [1, 2], "b": [0, 2]})


@pytest.mark.any_backend
def test_an_adapted_normalization_is_kept():
    inputs = keras.Input((8, 8, 3))
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (20, 8, 8, 3)))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(normalization(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(x))
    same = resize(model, {"conv": [0, 1, 2, 3]})
    np.testing.assert_array_equal(outputs(same), outputs(model))


def test_arrays_of_a_rescaling_lose_channels_like_lists():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.Rescaling(np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8]), name="scale")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    small = resize(model, {"conv": [3, 1]}).get_layer("scale")
    np.testing.assert_array_equal(small.scale, [4, 2])
    np.testing.assert_array_equal(small.offset, [8, 6])


BAD = {
    "nothing.*conv": {"nothing": [0]},
    "from 0 to 3": {"conv": [0, 4]},
    "flatnonzero": {"conv": np.ones(4, bool)},
    "no channel left": {"conv": []},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_channels(message):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    with pytest.raises(ValueError, match=message):
        resize(model, BAD[message])


def test_widths_that_contradict_shared_channels_are_refused():
    inputs = keras.Input((4, 4, 3))
    a, b = (layers.Conv2D(n, 1, name=name)(inputs) for n, name in [(2, "a"), (3, "b")])
    c = layers.Conv2D(5, 1, name="c")(inputs)
    x = layers.Add()([layers.Concatenate()([a, b]), c])
    model = keras.Model(inputs, layers.Conv2D(4, 1, name="out")(x))
    wide = ChannelGraph(expand_model(model, {"a": 4, "c": 7})).widths()
    assert wide == {"a": 4, "b": 3, "c": 7, "out": 4}
    for widths in ({"c": 8}, {"a": 4, "c": 8}):
        with pytest.raises(ValueError, match="'c' would get . channels instead of 8"):
            expand_model(model, widths)


def test_expansion_does_not_shrink():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    with pytest.raises(ValueError, match="4 channels.*3"):
        expand_model(model, {"conv": 3})
