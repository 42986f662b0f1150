"""The term, the cost and the alive channels."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from resbuilder import cost, minimal_architecture, resnet_architecture
from resbuilder.model import build_model
from resbuilder.morphnet import MorphNetRegularizer, NativeRegularizer, shrink


def two_layers():
    """Return a convolution 1 → 2 (3×3, image 4×4), batch normalization, and a dense layer 2 → 3."""
    inputs = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    kernel = np.zeros((3, 3, 1, 2), "float32")
    kernel[..., 0], kernel[..., 1] = 0.5, 0.001
    model.get_layer("conv").kernel.assign(kernel)
    model.get_layer("bn").gamma.assign([-0.25, 0.75])
    return model


@pytest.mark.any_backend
def test_values_computed_by_hand():
    model = two_layers()
    # conv: b = 2·16·9 = 288, logits: b = 2; channel 0 alive, R = 0.5 + 0.001.
    lasso = NativeRegularizer(model, "group_lasso")
    assert lasso.alive()["conv"].tolist() == [True, False]
    assert lasso.exact_cost() == 288 * 1 * 1 + 2 * 1 * 3
    assert float(lasso.cost()) == 294
    term = 288 * 1 * 0.501 + 2 * 3 * 0.501
    assert float(lasso.regularization_term()) == pytest.approx(term, rel=1e-6)
    # gamma: both alive, R = 1.
    gamma = MorphNetRegularizer(model, "gamma", "model_size")
    assert gamma.exact_cost() == 9 * 1 * 2 + 2 * 3
    assert float(gamma.regularization_term()) == pytest.approx(9 * 1 + 3 * 1, rel=1e-6)
    assert NativeRegularizer(model, "group_lasso", "activation").exact_cost() == 1 + 3
    # auto: γ, because a normalization follows the convolution; the logits stay.
    auto = MorphNetRegularizer(model, resource="model_size")
    assert float(auto.regularization_term()) == float(gamma.regularization_term())


@pytest.mark.any_backend
def test_latency_computed_by_hand():
    # With 1e3 FLOP/s and 1e9 bytes/s, both layers are compute-bound.
    model, flops = two_layers(), NativeRegularizer(two_layers(), "group_lasso")
    slow = NativeRegularizer(model, "group_lasso", "latency", peak_flops=1e3, bandwidth=1e9)
    assert slow.exact_cost() == pytest.approx(294 / 1e3)
    assert float(slow.cost()) == pytest.approx(294 / 1e3)
    expected = float(flops.regularization_term()) / 1e3
    assert float(slow.regularization_term()) == pytest.approx(expected, rel=1e-5)
    # Reversed, they are memory-bound: inputs, outputs and kernels, 4 bytes each.
    moved = 4 * ((16 * 1 + 16 * 1 + 9 * 1 * 1) + (1 + 3 + 1 * 3))
    fast = NativeRegularizer(model, "group_lasso", "latency", peak_flops=1e12, bandwidth=1e3)
    assert fast.exact_cost() == pytest.approx(moved / 1e3)
    r = 0.501
    term = 4 * ((16 * r + 9 * 1 * r) + (1 * r + 3 * r))
    assert float(fast.regularization_term()) == pytest.approx(term / 1e3, rel=1e-5)


@pytest.mark.parametrize("resource", ["flops", "latency"])
def test_gradient_equals_finite_differences(network, gradients, resource):
    rates = {"peak_flops": 1e4, "bandwidth": 1e4} if resource == "latency" else {}
    normalized = any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)
    for algorithm in ("group_lasso", "gamma") if normalized else ("group_lasso",):
        term = MorphNetRegularizer(network, algorithm, resource, **rates).regularization_term
        gradient = gradients(network, term)
        for weight in network.trainable_variables:
            check_slope(weight, gradient[weight.path], term)


def check_slope(weight, gradient, term, step=1e-3):
    """Compare the derivative along a random direction with the central difference."""
    value = weight.numpy()
    direction = np.random.default_rng(3).choice([-1.0, 1.0], weight.shape)
    terms = []
    for sign in (1, -1):
        weight.assign(value + sign * step * direction)
        terms.append(float(term()))
    weight.assign(value)
    slope = (terms[0] - terms[1]) / (2 * step)
    # The term is a float32 sum, whose rounding affects differences.
    rounding = float(4 * np.finfo("float32").eps * terms[0] / step)
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.02, abs=rounding)


@pytest.mark.any_backend
def test_gradient_of_a_zero_group_is_zero(gradients):
    model = two_layers()
    kernel = model.get_layer("conv").kernel.numpy().copy()
    kernel[..., 1] = 0
    model.get_layer("conv").kernel.assign(kernel)
    term = NativeRegularizer(model, "group_lasso").regularization_term
    gradient = gradients(model, term)["conv/kernel"]
    assert np.isfinite(gradient).all()
    assert not gradient[..., 1].any()
    assert gradient[..., 0].all()


@pytest.mark.any_backend
def test_image_and_logits_are_not_pruned():
    inputs = keras.Input((4, 4, 3))
    x = layers.BatchNormalization(gamma_initializer="zeros", name="on_image")(inputs)
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(2, 1, name="conv")(x))
    x = layers.Dense(5, name="logits", kernel_initializer="zeros")(
        layers.GlobalAveragePooling2D()(x)
    )
    model = keras.Model(inputs, x)
    for algorithm in ("group_lasso", "gamma", "auto"):
        morphnet = NativeRegularizer(model, algorithm)
        assert list(morphnet.alive()) == ["conv"]
        assert morphnet.exact_cost() == 2 * 16 * 3 * 2 + 2 * 2 * 5
        assert not morphnet.group_values()["logits"].any()
    # By Google's rules, no image channel is left with gamma, and no logit with group lasso.
    assert MorphNetRegularizer(model, "gamma", strict=True).exact_cost() == 2 * 2 * 5
    assert MorphNetRegularizer(model, strict=True).exact_cost() == 2 * 16 * 3 * 2


def test_cost_equals_that_of_the_shrunk_model(network, kill):
    alive = kill(network)
    morphnet = MorphNetRegularizer(network, threshold=0)
    found = morphnet.alive()
    assert {name: a.tolist() for name, a in found.items()} == {
        name: a.tolist() for name, a in alive.items()
    }
    for resource in ("flops", "model_size", "activation"):
        before = MorphNetRegularizer(network, resource=resource, threshold=0)
        small = shrink(network, found)
        after = MorphNetRegularizer(small, resource=resource, threshold=0)
        assert before.exact_cost() == after.exact_cost()


@pytest.mark.parametrize("start", [minimal_architecture, resnet_architecture])
def test_flops_equal_those_of_the_architecture(start):
    architecture = start(input_shape=(32, 32, 3), classes=10)
    morphnet = MorphNetRegularizer(build_model(architecture), threshold=0)
    assert morphnet.exact_cost() == cost(architecture).flops


class Regularized(keras.Model):
    """A network trained on the term alone."""

    def __init__(self, network, morphnet):
        super().__init__()
        self.network, self.morphnet = network, morphnet

    def call(self, x):
        return self.network(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.morphnet.regularization_term() + 0.0 * ops.sum(y_pred)


@pytest.mark.any_backend
def test_compiled_training_shrinks_the_groups():
    model = two_layers()
    morphnet = NativeRegularizer(model, "group_lasso")
    before = morphnet.group_values()["conv"]
    trainer = Regularized(model, morphnet)
    # Use eager mode on torch, because torch.compile needs a C++ compiler and minutes.
    jit = keras.backend.backend() != "torch"
    trainer.compile(optimizer=keras.optimizers.SGD(1e-5), jit_compile=jit)
    trainer.fit(np.ones((8, 4, 4, 1)), np.ones((8, 3)), batch_size=4, epochs=2, verbose=0)
    after = morphnet.group_values()["conv"]
    assert (after < before).all()
    assert (after > 0).all()


BAD = {
    "algorithm.*lasso": {"algorithm": "lasso"},
    "resource.*energy": {"resource": "energy"},
    "threshold.*-1": {"threshold": -1},
    "resource='latency' needs": {"resource": "latency", "peak_flops": 1e9},
    "only for resource='latency'": {"bandwidth": 1e9},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_argument_is_named_in_the_error(message):
    with pytest.raises(ValueError, match=message):
        MorphNetRegularizer(two_layers(), **BAD[message])


def test_gamma_needs_scaled_batch_normalization():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 1)(inputs)
    with pytest.raises(ValueError, match="none"):
        MorphNetRegularizer(keras.Model(inputs, layers.Conv2D(2, 1)(x)), "gamma")
    x = layers.Conv2D(2, 1)(layers.BatchNormalization(scale=False, name="unscaled")(x))
    with pytest.raises(ValueError, match="unscaled.*scale=True.*auto"):
        MorphNetRegularizer(keras.Model(inputs, x), "gamma")


def test_flops_need_a_known_image_size():
    inputs = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    assert MorphNetRegularizer(model, resource="model_size", threshold=0).exact_cost() == 6 + 4
    with pytest.raises(ValueError, match="conv.*image size"):
        MorphNetRegularizer(model)


def test_auto_is_refused_with_strict_and_with_google():
    with pytest.raises(ValueError, match="auto.*strict"):
        MorphNetRegularizer(two_layers(), "auto", strict=True)
    assert MorphNetRegularizer(two_layers(), strict=True).algorithm == "group_lasso"


def test_group_lasso_warns_if_a_kernel_has_no_scale():
    with pytest.warns(UserWarning, match="'conv'.*normalization.*auto"):
        MorphNetRegularizer(two_layers(), "group_lasso")


@pytest.mark.any_backend
def test_auto_ignores_the_scale_of_a_kernel_before_a_normalization():
    """Doubling kernel and statistics gives the same network, so the values stay the same."""
    inputs = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 3, use_bias=False, name="a")(inputs)
    x = layers.BatchNormalization(name="with_gamma", epsilon=1e-12)(x)
    x = layers.Conv2D(3, 1, use_bias=False, name="b")(x)
    x = layers.BatchNormalization(scale=False, name="without", epsilon=1e-12)(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="c")(x))
    morphnet = MorphNetRegularizer(model)
    before = morphnet.group_values()
    for name, behind in (("a", "with_gamma"), ("b", "without")):
        kernel, statistics = model.get_layer(name).kernel, model.get_layer(behind).moving_variance
        kernel.assign(10 * kernel)
        statistics.assign(100 * statistics)
    for name, values in morphnet.group_values().items():
        np.testing.assert_allclose(values, before[name], rtol=1e-5)
    norms = np.sqrt(np.square(model.get_layer("b").kernel.numpy()).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(before["b"], norms / 10, rtol=1e-5)
    assert before["a"].tolist() == [1, 1]
