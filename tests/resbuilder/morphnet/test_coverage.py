"""Networks of every style lose constant channels without changing their outputs."""

import keras
import numpy as np
import pytest
from keras import layers

from resbuilder.morphnet import (
    ChannelGraph,
    ChannelRule,
    MorphNetRegularizer,
    prune,
    register_layer,
    resize,
    shrink,
)
from tests.resbuilder.morphnet.networks import (
    NETWORKS,
    images_for,
    masks,
    nested,
    operators,
    outputs,
    randomize,
    separable,
    silence,
    slices,
    some,
)

ON_EVERY_BACKEND = (nested, separable, operators, slices)
EACH = [
    pytest.param(build, marks=[pytest.mark.any_backend] if build in ON_EVERY_BACKEND else [])
    for build in NETWORKS
]


@pytest.mark.parametrize("build", EACH)
@pytest.mark.slow_on("jax")
def test_removing_constant_channels_does_not_change_the_outputs(build):
    model = randomize(build())
    graph = ChannelGraph(model)
    dead = some(graph)
    silence(graph, dead)
    small = shrink(model, masks(graph, dead))
    assert small.count_params() < model.count_params()
    assert type(small) is type(model)
    assert small.input_shape == model.input_shape
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)
    # With nothing removed, the result is a copy.
    np.testing.assert_array_equal(outputs(resize(model, {})), outputs(model))


@pytest.mark.parametrize("build", NETWORKS)
def test_the_cost_of_alive_channels_equals_that_of_the_shrunk_network(build):
    model = randomize(build())
    for resource in ("flops", "model_size"):
        morphnet = MorphNetRegularizer(model, resource=resource, threshold=0.25)
        small = shrink(model, morphnet.alive(), at_least=1)
        again = MorphNetRegularizer(small, resource=resource, threshold=0)
        assert morphnet.exact_cost() == again.exact_cost()


@pytest.mark.parametrize("build", NETWORKS)
def test_pruning_meets_its_budget(build, capsys):
    model = randomize(build())
    whole = model.count_params()
    small = prune(model, parameters=0.8)
    assert 0.6 * whole < small.count_params() <= 0.8 * whole
    assert f"→ {small.count_params():,}" in capsys.readouterr().out
    assert np.isfinite(outputs(small)).all()
    images = images_for(model, 6)
    half = prune(model, flops=0.7, importance="taylor", loss="mse", verbose=False,
                 data=(images, np.ones((6, 4), "float32")))  # fmt: skip
    flops = [MorphNetRegularizer(m, threshold=0).exact_cost() for m in (model, half)]
    assert 0.4 * flops[0] < flops[1] <= 0.7 * flops[0]


def test_layers_of_nested_models_are_named_by_path_and_stay_nested():
    model = nested()
    alive = MorphNetRegularizer(model).alive()
    assert list(alive) == ["backbone/a", "backbone/block/b", "backbone/c"]
    alive["backbone/block/b"][1:] = False
    small = shrink(model, alive)
    block = small.get_layer("backbone").get_layer("block")
    assert isinstance(block, keras.Sequential)
    assert block.get_layer("b").filters == 1
    small.get_layer("backbone").trainable = False
    assert len(small.trainable_weights) == 2


def test_channels_that_a_layer_combines_are_not_offered():
    names = {build.__name__: set(MorphNetRegularizer(build()).alive()) for build in NETWORKS}
    assert names["softmax_gate"] == {"a", "b"}
    assert names["normalized"] == {"a", "b", "d"}


def test_groups_are_removed_as_a_whole():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="a")(inputs)
    x = layers.Conv2D(12, 3, groups=4, name="groups")(x)
    x = layers.GroupNormalization(2, name="gn")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="out")(x))
    graph = ChannelGraph(model)
    ids = graph.out_ids(next(s for s in graph.steps if s.name == "a"))
    # The normalization has two groups, each with two groups of the convolution.
    assert len(np.unique(ids)) == 2
    small = resize(model, {"a": [4, 5, 6, 7]})
    assert small.get_layer("groups").groups == 2
    assert small.get_layer("groups").filters == 6
    assert small.get_layer("gn").groups == 1
    with pytest.raises(ValueError, match="groups.*groups of 2 channels.*whole"):
        resize(model, {"a": [0, 2, 4, 6]})


class Scale(layers.Layer):
    """Layer y = x·s + t, whose configuration has the number of channels."""

    def __init__(self, channels, **options):
        super().__init__(**options)
        self.channels = channels

    def build(self, shape):
        self.s = self.add_weight(shape=(self.channels,), name="s", initializer="ones")

    def call(self, x):
        return x * self.s

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


def with_scale():
    inputs = keras.Input((8, 8, 3))
    x = Scale(6, name="scale")(layers.Conv2D(6, 3, name="a")(inputs))
    return keras.Model(inputs, layers.Conv2D(2, 3, name="out")(x))


class Square(keras.layers.Layer):
    """Has the name of one of Keras' operations, but mixes channels."""

    def call(self, x):
        return x * keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True)


def test_a_custom_layer_with_the_name_of_one_of_keras_is_refused():
    inputs = keras.Input((8, 8, 3))
    x = Square()(layers.Conv2D(6, 3, name="a")(inputs))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="out")(x))
    with pytest.raises(ValueError, match="'square'.*Square.*register_layer"):
        MorphNetRegularizer(model)


def test_a_shared_layer_without_weights_gets_the_channels_of_each_call():
    inputs, rescaling = keras.Input((8, 8, 3)), layers.Rescaling([1.0, 2.0, 3.0, 4.0])
    a, b = (layers.Conv2D(4, 1, name=name)(inputs) for name in "ab")
    a, b = (layers.Conv2D(2, 1)(rescaling(x)) for x in (a, b))
    model = randomize(keras.Model(inputs, layers.Add()([a, b])))
    graph = ChannelGraph(model)
    dead = np.zeros(graph.size, bool)
    ids = {step.name: graph.out_ids(step) for step in graph.producers()}
    dead[ids["a"][:2]] = dead[ids["b"][2:]] = True
    silence(graph, dead)
    small = shrink(model, masks(graph, dead))
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_a_custom_layer_is_refused_until_it_is_registered():
    from resbuilder.morphnet import rules

    with pytest.raises(ValueError, match="'scale'.*Scale.*register_layer"):
        MorphNetRegularizer(with_scale())
    try:
        # Its configuration must change too, as the dry run finds before any training.
        register_layer(Scale, "keep")
        with pytest.raises(ValueError, match="fewer channels.*scale"):
            MorphNetRegularizer(with_scale())
        register_layer(
            Scale, ChannelRule("keep", lambda c, _, outputs: c | {"channels": len(outputs)})
        )
        model = randomize(with_scale())
        graph = ChannelGraph(model)
        dead = some(graph)
        silence(graph, dead)
        small = shrink(model, masks(graph, dead))
        assert small.get_layer("scale").channels == 3
        np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)
    finally:
        del rules._REGISTERED[Scale]
    with pytest.raises(ValueError, match="must be one of.*'twist'"):
        register_layer(Scale, "twist")
    with pytest.raises(ValueError, match="class of Keras layers"):
        register_layer(dict, "keep")


@pytest.mark.any_backend
@pytest.mark.slow
def test_a_network_with_a_dot_in_its_name_trains_with_the_term():
    from resbuilder.training import RegularizedModel

    network = keras.applications.MobileNet(
        (32, 32, 3), alpha=0.25, weights=None, classes=3, classifier_activation=None
    )
    assert "." in network.name
    morphnet = MorphNetRegularizer(network)
    model = RegularizedModel(network, {"morphnet": morphnet.regularization_term})
    model.set_strengths(morphnet=1e-9)
    model.compile("sgd", "mse", jit_compile=False, run_eagerly=keras.backend.backend() == "jax")
    history = model.fit(np.ones((2, 32, 32, 3)), np.ones((2, 3)), verbose=0)
    assert np.isfinite(history.history["loss"][0])
