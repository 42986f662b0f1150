"""Shrinking a network preserves its outputs."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer, output_change, shrink
from resbuilder.morphnet.causes import causes
from resbuilder.morphnet.shrink import dead_ids
from tests.resbuilder.morphnet.networks import images_for, masks, outputs, randomize

MASK = np.array([True, False, True, False, True])


def small_network(reader, padding="valid", activation="relu"):
    """Return convolution, batch normalization and activation, then the reader of its channels."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 3, padding=padding, name="conv")(inputs)
    x = layers.Activation(activation)(layers.BatchNormalization(name="bn")(x))
    return randomize(keras.Model(inputs, reader(x)))


def kill_by_scale(model):
    """Set γ of channels to 0, as training with the term on γ does, so that they emit f(β)."""
    gamma = model.get_layer("bn").gamma
    gamma.assign(gamma * MASK)


READERS = {
    "a bias": lambda x: layers.Conv2D(4, 3, name="next")(x),
    "a moving mean": lambda x: layers.BatchNormalization(name="mean")(
        layers.Conv2D(4, 3, use_bias=False, name="next")(x)
    ),
    "a new bias": lambda x: layers.Conv2D(4, 3, use_bias=False, name="next")(x),
    "a dense layer": lambda x: layers.Dense(4, name="next")(layers.Flatten()(x)),
    "a transposed convolution": lambda x: layers.Conv2DTranspose(4, 2, 2, name="next")(
        layers.UpSampling2D()(layers.MaxPooling2D()(x))
    ),
    "a separable convolution": lambda x: layers.SeparableConv2D(4, 3, name="next")(x),
}


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
@pytest.mark.parametrize("reader", [b for b in READERS if b != "a transposed convolution"])
def test_the_constant_of_a_dead_channel_is_folded_into(reader):
    model = small_network(READERS[reader])
    kill_by_scale(model)
    before = outputs(model)
    small = shrink(model, {"conv": MASK})
    np.testing.assert_allclose(outputs(small), before, rtol=1e-4, atol=1e-5)
    assert small.get_layer("conv").filters == 3
    assert np.abs(before - outputs(drop_only(model))).max() > 1e-2  # the constant is not 0


def drop_only(model):
    from resbuilder.morphnet import resize

    return resize(model, {"conv": np.flatnonzero(MASK)})


def test_a_transposed_convolution_absorbs_a_constant_if_its_phases_agree():
    model = small_network(READERS["a transposed convolution"])
    kernel = model.get_layer("next").kernel
    kernel.assign(np.broadcast_to(kernel.numpy()[:1, :1], kernel.shape))
    kill_by_scale(model)
    small = shrink(model, {"conv": MASK})
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "gelu", "tanh"])
def test_an_activation_can_map_zero_to_another_value(activation):
    model = small_network(READERS["a bias"], activation=activation)
    kill_by_scale(model)
    small = shrink(model, {"conv": MASK})
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_same_padding_is_exact_inside_the_image_but_not_at_its_border():
    reader = layers.Conv2D(4, 3, padding="same", name="next")
    model = small_network(reader, padding="same")
    kill_by_scale(model)
    change = np.abs(outputs(shrink(model, {"conv": MASK})) - outputs(model))
    assert change[:, 1:-1, 1:-1].max() < 1e-5
    assert change[:, 0].max() > 1e-2


@pytest.mark.parametrize(
    "options", [{"strides": 2}, {"dilation_rate": 2}, {"kernel_size": (5, 3)}], ids=str
)
def test_same_padding_is_right_on_average_if_most_windows_cross_the_border(options):
    """On maps of up to 3×3 positions, the mean of each output over positions stays the same."""
    reader = layers.Conv2D(4, **{"kernel_size": 3, "padding": "same", "name": "next"} | options)
    model = small_network(lambda x: reader(layers.MaxPooling2D()(x)))
    kill_by_scale(model)
    before, after = outputs(model), outputs(shrink(model, {"conv": MASK}))
    np.testing.assert_allclose(after.mean(axis=(1, 2)), before.mean(axis=(1, 2)), atol=1e-5)


def test_same_padding_is_exact_on_an_image_of_one_pixel():
    reader = layers.Conv2D(4, 3, padding="same", name="next")
    model = small_network(lambda x: reader(layers.MaxPooling2D(6)(x)))
    kill_by_scale(model)
    small = shrink(model, {"conv": MASK})
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_channels_that_vary_are_replaced_by_their_mean():
    """After the normalization x ~ N(β, γ²), which gives E[relu(x)] in closed form."""
    from scipy.stats import norm

    model = small_network(READERS["a bias"])
    bn = model.get_layer("bn")
    bn.moving_variance.assign(np.full(5, 1e3))  # σ²/(σ²+ε) ≈ 1
    gamma, beta = np.abs(bn.gamma.numpy()), bn.beta.numpy()
    mean = beta * norm.cdf(beta / gamma) + gamma * norm.pdf(beta / gamma)
    small = shrink(model, {"conv": MASK})
    taps = model.get_layer("next").kernel.numpy().sum(axis=(0, 1))
    added = small.get_layer("next").bias.numpy() - model.get_layer("next").bias.numpy()
    np.testing.assert_allclose(added, (taps * (mean * ~MASK)[:, None]).sum(axis=0), atol=5e-3)


def residual(norm=True):
    inputs = keras.Input((8, 8, 3))
    x = skip = layers.Conv2D(6, 3, name="stem")(inputs)
    for name, width in (("b1", 4), ("b2", 5)):
        y = layers.Conv2D(width, 1, name=f"{name}_1", activation="relu")(x)
        y = layers.Conv2D(6, 1, name=f"{name}_2")(y)
        y = layers.BatchNormalization(name=f"{name}_bn")(y) if norm else y
        x = layers.ReLU()(layers.Add(name=f"{name}_add")([x, y]))
    del skip
    return randomize(keras.Model(inputs, layers.Conv2D(2, 3, name="out")(x)))


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_a_dead_residual_branch_is_bypassed():
    model = residual()
    model.get_layer("b1_1").kernel.assign(np.zeros((1, 1, 6, 4)))
    small = shrink(model, {"b1_1": np.zeros(4, bool)})
    names = {layer.name for layer in small.layers}
    assert not {"b1_1", "b1_2", "b1_bn"} & names
    assert {"b2_1", "b2_2", "b2_bn", "stem", "out"} <= names
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)
    # The result is a model that can be pruned further, saved and loaded.
    again = shrink(small, {"stem": np.arange(6) > 2, "b2_1": np.arange(5) > 2})
    assert ChannelGraph(again).widths() == {"stem": 3, "b2_1": 2, "b2_2": 3, "out": 2}


def test_a_bypassed_model_is_saved_and_loaded(tmp_path):
    model = residual()
    small = shrink(model, {"b2_1": np.zeros(5, bool)})
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(outputs(loaded), outputs(small))


def test_a_dead_gate_becomes_a_constant_factor():
    from tests.resbuilder.morphnet.networks import gate

    model = randomize(gate())
    model.get_layer("reduce").kernel.assign(np.zeros((6, 3)))
    small = shrink(model, {"reduce": np.zeros(3, bool)})
    assert "excite" not in {layer.name for layer in small.layers}
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_at_least_keeps_the_largest_channel_if_no_layer_can_be_removed():
    model = residual()
    dead = {"stem": np.zeros(6, bool)}
    with pytest.raises(ValueError, match="at_least=1"):
        shrink(model, dead)
    small = shrink(model, dead | {"b1_1": np.zeros(4, bool)}, at_least=1)
    assert ChannelGraph(small).widths()["stem"] == 1
    norms = np.square(model.get_layer("b1_1").kernel.numpy()).sum(axis=(0, 1, 2))
    kept = small.get_layer("b1_1").kernel.numpy()
    assert kept.shape == (1, 1, 1, 1)
    assert kept in model.get_layer("b1_1").kernel.numpy()[..., norms.argmax()]


def test_a_dead_branch_of_a_concatenation_is_removed_with_all_it_alone_feeds():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(3, 1, name="a")(inputs)
    b = layers.Conv2D(4, 1, name="b2")(layers.Conv2D(2, 1, name="b1")(inputs))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="out")(layers.Concatenate()([a, b])))
    randomize(model)
    model.get_layer("b1").kernel.assign(np.zeros((1, 1, 3, 2)))
    small = shrink(model, {"b1": np.zeros(2, bool)})
    assert ChannelGraph(small).widths() == {"a": 3, "out": 2}
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


BAD = {
    "'conv' has 5 channels.*\\(7,\\)": {"conv": np.ones(7, bool)},
    "bool array.*int": {"conv": np.array([1, 0, 1, 0, 1])},
    "'nothing'.*conv": {"nothing": MASK},
}


@pytest.mark.parametrize("message", BAD)
def test_masks_that_do_not_match_their_layer_are_refused(message):
    with pytest.raises(ValueError, match=message):
        shrink(small_network(READERS["a bias"]), BAD[message])


def test_masks_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="b1_2.*contradicts"):
        shrink(residual(), {"stem": np.arange(6) > 0, "b1_2": np.arange(6) > 1})


def test_check_reports_how_much_the_outputs_change(capsys):
    model = small_network(READERS["a dense layer"])
    images = images_for(model, 8)
    with pytest.warns(UserWarning, match="spread.*removed inputs of 'next' vary most"):
        small = shrink(model, {"conv": MASK}, check=images)
    change = output_change(model, small, images)
    difference = outputs(small, images) - outputs(model, images)
    assert change.largest == pytest.approx(np.abs(difference).max(), rel=1e-4)
    assert change.images == 8
    assert str(change) in capsys.readouterr().out
    kill_by_scale(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        shrink(model, {"conv": MASK}, check=images)
    assert "0.00%" in capsys.readouterr().out


@pytest.mark.any_backend
def test_borders_are_distinguished_from_channels_that_vary():
    model = small_network(lambda x: layers.Conv2D(4, 3, padding="same", name="next")(x))
    kill_by_scale(model)
    images, graph = images_for(model, 8), ChannelGraph(model)
    dead = dead_ids(graph, {"conv": MASK})
    small = shrink(model, {"conv": MASK})
    found = causes(graph, dead, small, images)
    assert found.channels < 1e-5
    assert found.borders == pytest.approx(output_change(model, small, images).relative, rel=1e-3)
    assert "epoch" in str(found)  # the smaller model can learn its borders


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_the_optimizer_state_is_inherited_by_channel():
    model = small_network(READERS["a bias"])
    model.compile("adam", "mse", jit_compile=False, run_eagerly=True)
    images = images_for(model)
    model.fit(images, np.ones((4, 4, 4, 4)), verbose=0)
    small = shrink(model, {"conv": MASK})
    assert type(small.optimizer) is type(model.optimizer)
    assert int(small.optimizer.iterations) == 1

    def momentum(of):
        (slot,) = (v for v in of.optimizer.variables if v.name == "next_kernel_momentum")
        return slot.numpy()

    assert np.abs(momentum(model)).max() > 0
    np.testing.assert_array_equal(momentum(small), momentum(model)[:, :, MASK])
    small.fit(images, np.ones((4, 4, 4, 4)), verbose=0)


def test_layers_with_one_name_in_nested_models_keep_their_own_optimizer_state():
    def block(name, channels):
        inputs = keras.Input((4, 4, channels))
        return keras.Model(inputs, layers.Conv2D(3, 1, name="conv")(inputs), name=name)

    first, second = block("first", 3), block("second", 3)
    inputs = keras.Input((4, 4, 3))
    model = randomize(keras.Model(inputs, second(layers.ReLU()(first(inputs)))))
    model.compile("adam", "mse", jit_compile=False)
    model.fit(images_for(model), np.ones((4, 4, 4, 3)), verbose=0)
    alive = np.array([True, False, True])
    small = shrink(model, {"first/conv": alive})

    def momenta(of):
        slots = [v.numpy() for v in of.optimizer.variables if v.name == "conv_kernel_momentum"]
        shapes = [w.shape for w in of.trainable_variables if w.name == "kernel"]
        assert [s.shape for s in slots] == shapes
        return slots

    (a, b), (small_a, small_b) = momenta(model), momenta(small)
    assert np.abs(a - b).max() > 0
    np.testing.assert_array_equal(small_a, a[..., alive])
    np.testing.assert_array_equal(small_b, b[:, :, alive])


def test_an_unregistered_loss_does_not_affect_the_rest_of_the_compilation(recwarn):
    def loss(y, prediction):
        return keras.ops.mean(keras.ops.square(y - prediction))

    class Unregistered(keras.metrics.Mean):
        def __init__(self, scale, name="own"):
            super().__init__(name)

    model = small_network(READERS["a bias"])
    metrics = ["mae", loss, keras.metrics.MeanSquaredError()]
    model.compile("sgd", loss, loss_weights=0.5, metrics=metrics, jit_compile=False)
    images, targets = images_for(model), np.ones((4, 4, 4, 4))
    model.evaluate(images, targets, verbose=0)
    small = shrink(model, {"conv": np.ones(len(MASK), bool)})
    found, expected = (m.evaluate(images, targets, verbose=0) for m in (small, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(found) == 4 and small.jit_compile is False
    assert not [w for w in recwarn if "compiled without" in str(w.message)]
    model.compile("sgd", loss, loss_weights=0.5, weighted_metrics=[Unregistered(1)])
    with pytest.warns(UserWarning, match="compiled without weighted_metrics,"):
        small = shrink(model, {"conv": MASK})
    assert small._compile_config.config["loss_weights"] == 0.5


def test_shrinking_to_the_channels_that_the_regularizer_finds_alive():
    model = small_network(READERS["a bias"])
    kill_by_scale(model)
    alive = MorphNetRegularizer(model).alive()
    assert alive["conv"].tolist() == MASK.tolist()
    small = shrink(model, alive)
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_a_mask_of_one_layer_equals_masks_of_all_that_share_its_channels():
    model = residual()
    graph = ChannelGraph(model)
    dead = np.zeros(graph.size, bool)
    dead[graph.out_ids(next(s for s in graph.steps if s.name == "stem"))[:2]] = True
    one = shrink(model, {"b2_2": np.arange(6) > 1})
    everything = shrink(model, masks(graph, dead))
    np.testing.assert_array_equal(outputs(one), outputs(everything))
