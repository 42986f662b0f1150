"""Channel ids and width groups."""

import keras
import numpy as np
import pytest
from keras import layers

from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer
from resbuilder.morphnet.forward import forward


def ids(graph, name):
    return graph.out_ids(next(s for s in graph.steps if s.name == name))


def image(channels=3):
    return keras.Input((4, 4, channels))


def test_addition_merges_and_convolution_separates():
    inputs = image()
    a = layers.Conv2D(5, 3, padding="same", name="a")(inputs)
    b = layers.Conv2D(5, 3, padding="same", name="b")(a)
    graph = ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1, name="c")(layers.Add()([a, b]))))
    assert np.array_equal(ids(graph, "a"), ids(graph, "b"))
    assert not set(ids(graph, "a")) & set(ids(graph, "c"))
    assert graph.size == 3 + 5 + 2
    assert sorted(np.flatnonzero(graph.fixed)) == sorted([*graph.ids[0], *ids(graph, "c")])


def test_flatten_follows_channels_unless_cut():
    inputs = image()
    x = layers.Flatten(name="flat")(layers.Conv2D(5, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    graph = ChannelGraph(model)
    flat = ids(graph, "flat").reshape(2 * 2, 5)
    assert (flat == ids(graph, "conv")).all()
    graph = ChannelGraph(model, cut_flatten=True)
    assert not set(ids(graph, "flat")) & set(ids(graph, "conv"))


def test_depth_multiplier_repeats_channels():
    inputs = image()
    x = layers.Conv2D(3, 1, name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="dw")(x)
    graph = ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1)(x)))
    assert np.array_equal(ids(graph, "dw"), np.repeat(ids(graph, "conv"), 2))


def test_width_groups_split_a_layer_that_is_added_to_a_concatenation():
    inputs = image()
    a, b = (layers.Conv2D(n, 1, name=name)(inputs) for n, name in [(2, "a"), (3, "b")])
    c = layers.Conv2D(5, 1, name="c")(inputs)
    x = layers.Add()([layers.Concatenate()([a, b]), c])
    graph = ChannelGraph(keras.Model(inputs, layers.Conv2D(4, 1, name="out")(x)))
    groups = {g.layers: (len(g.ids), g.fixed) for g in graph.width_groups()}
    expected = {(): (3, True), ("a", "c"): (2, False), ("b", "c"): (3, False), ("out",): (4, True)}
    assert groups == expected


def test_a_map_broadcast_over_channels_is_fixed():
    inputs = image()
    x = layers.Conv2D(3, 1, name="features")(inputs)
    where = layers.Conv2D(1, 1, name="where")(x)
    x = layers.Conv2D(2, 1, name="out")(layers.Multiply()([x, where]))
    graph = ChannelGraph(keras.Model(inputs, x))
    assert graph.fixed[ids(graph, "where")].all()
    assert not graph.fixed[ids(graph, "features")].any()


def test_shared_layers_without_weights_are_supported():
    inputs, relu = image(), layers.ReLU()
    x = relu(layers.Conv2D(3, 1, name="a")(inputs))
    x = relu(layers.Conv2D(3, 1, name="b")(x))
    graph = ChannelGraph(keras.Model(inputs, layers.Conv2D(2, 1)(x)))
    assert not set(ids(graph, "a")) & set(ids(graph, "b"))


def shared_weights(x):
    conv = layers.Conv2D(6, 1, name="twice")
    return conv(conv(x))


def attention(x):
    return layers.MultiHeadAttention(1, 2, name="look")(x, x)


def recurrent(x):
    return layers.LSTM(4, name="recur")(layers.Reshape((16, 6))(x))


def lora(x):
    dense = layers.Dense(4, name="adapted")
    x = dense(x)
    dense.enable_lora(2)
    return x


UNSUPPORTED = {
    "look.*MultiHeadAttention.*attention": attention,
    "recur.*LSTM.*recurrent": recurrent,
    "lambda.*register_layer": lambda x: layers.Lambda(lambda v: v[..., ::2], name="lambda")(x),
    "swap.*Permute.*register_layer": lambda x: layers.Permute((3, 1, 2), name="swap")(x),
    "twice.*shared": shared_weights,
    "last axis": lambda x: layers.Concatenate(axis=1)([x, x]),
    "mixes channels": lambda x: layers.Reshape((6, 16))(x),
    "adapted.*LoRA": lora,
    "takes channels in steps of 2": lambda x: layers.Conv2D(4, 1)(x[..., ::2]),
    "takes channels in steps of -3": lambda x: layers.Conv2D(4, 1)(x[..., ::-3]),
    "by a slice.*got 2": lambda x: layers.Dense(4)(x[..., 2]),
    "PReLU.*weights": lambda x: layers.Conv2D(4, 1, activation=layers.PReLU())(x),
}


@pytest.mark.parametrize("message", UNSUPPORTED)
def test_unsupported_layers_are_named_before_training(message):
    inputs = image()
    x = layers.Conv2D(6, 1, name="first")(inputs)
    model = keras.Model(inputs, UNSUPPORTED[message](x))
    with pytest.raises(ValueError, match=message):
        MorphNetRegularizer(model)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
@pytest.mark.parametrize("keys", [None, ("right", "left")])
def test_a_dict_of_inputs_is_read_by_name(keys):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    x = layers.Dense(4, name="first")(layers.Subtract()([a, b]))
    model = keras.Model([a, b] if keys is None else dict(zip(keys, (a, b), strict=True)), x)
    names = keys or ("a", "b")
    images = {names[1]: np.ones((2, 3), "float32"), names[0]: np.zeros((2, 3), "float32")}
    graph = ChannelGraph(model)
    np.testing.assert_allclose(forward(graph, images)[0], model(images), rtol=1e-6)
    with pytest.raises(ValueError, match="'other'.*the model's inputs are"):
        forward(graph, {"other": images[names[0]], names[1]: images[names[1]]})


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="functional.*Sequential"):
        ChannelGraph(keras.Sequential([layers.Dense(2)]))
