"""Signed Grad-CAM, compared with its formula."""

import keras
import numpy as np
import pytest
from keras import layers

from survival.models import vgg_survival_model
from survival.saliency import RiskSaliency, risk_saliency

pytestmark = pytest.mark.any_backend


def image(height=12, width=16, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (height, width, 3)).astype("float32")


def small_network(*head, seed=0):
    """Return a convolution with stride 2, followed by the given layers and the log-hazard."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((12, 16, 3))
    x = feature_map = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu")(pixels)
    for layer in head:
        x = layer(x)
    risk = layers.Dense(1, use_bias=False, name="log_hazard")(x)
    return keras.Model(pixels, risk), keras.Model(pixels, feature_map)


def test_shares_of_a_linear_head_sum_to_the_log_hazard():
    model, features = small_network(layers.GlobalAveragePooling2D())
    saliency = risk_saliency(model, image())
    a, w = (
        features.predict(image()[None], verbose=0)[0],
        model.get_layer("log_hazard").get_weights(),
    )
    np.testing.assert_allclose(saliency, a @ w[0][:, 0] / (6 * 8), rtol=1e-4, atol=1e-6)
    assert saliency.sum() == pytest.approx(model.predict(image()[None], verbose=0).item(), rel=1e-3)


def test_the_weights_are_the_derivatives_of_a_nonlinear_head():
    model, features = small_network(
        layers.GlobalAveragePooling2D(), layers.Dense(7, activation="tanh")
    )
    a = features.predict(image()[None], verbose=0)
    dense, last = (layer.get_weights() for layer in model.layers[-2:])

    def head(a):
        return np.tanh(a.mean(axis=(1, 2)) @ dense[0] + dense[1]) @ last[0]

    # Adding to a whole channel changes the log-hazard by the sum of its derivatives.
    step = 1e-3
    weights = [
        (head(a + step * channel) - head(a - step * channel)).item() / (2 * step) / (6 * 8)
        for channel in np.eye(5)
    ]
    expected = (a[0] * weights).sum(axis=-1)
    np.testing.assert_allclose(risk_saliency(model, image()), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_network_that_sees_only_red_on_the_left_highlights_only_that(sign):
    """The image has two red spots; the log-hazard is (minus) the redness of the left half."""
    pixels = keras.Input((12, 16, 3))
    red = layers.Conv2D(1, 1, use_bias=False, name="red")(pixels)
    left = layers.ZeroPadding2D(((0, 0), (0, 8)))(layers.Cropping2D(((0, 0), (0, 8)))(red))
    pooled = layers.GlobalAveragePooling2D()(left)
    model = keras.Model(pixels, layers.Dense(1, use_bias=False, name="log_hazard")(pooled))
    model.get_layer("red").set_weights([np.array([1.0, 0, 0]).reshape(1, 1, 3, 1)])
    model.get_layer("log_hazard").set_weights([np.array([[sign]])])
    picture = np.zeros((12, 16, 3), "float32")
    picture[2:5, 3:6, 0] = picture[2:5, 11:14, 0] = 1
    picture[8:10, 3:6, 1] = 1  # green, which the network ignores
    expected = np.zeros((12, 16))
    expected[2:5, 3:6] = sign / (12 * 16)
    np.testing.assert_allclose(risk_saliency(model, picture), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.slow_on("jax")
def test_the_maps_of_the_thesis_network_sum_to_its_log_hazard(dtype):
    model = vgg_survival_model((32, 40, 3), width=0.03, seed=1, dtype=dtype)
    canvas = np.random.default_rng(0).integers(0, 256, (32, 40, 3), "uint8")
    saliency = risk_saliency(model, canvas)
    assert saliency.shape == (2, 2) and np.isfinite(saliency).all() and saliency.any()
    # The head is piecewise linear, and its initial biases are 0.
    log_hazard = model.predict(canvas[None], verbose=0).item()
    assert saliency.sum() == pytest.approx(log_hazard, rel=1e-3 if dtype == "float32" else 0.05)


def test_a_backbone_within_a_model():
    keras.utils.set_random_seed(0)
    inside = keras.Input((12, 16, 3))
    backbone = keras.Model(inside, layers.Conv2D(4, 3, activation="relu")(inside))
    pixels = keras.Input((12, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(backbone(pixels))
    model = keras.Model(pixels, layers.Dense(1, use_bias=False)(pooled))
    saliency = risk_saliency(model, image())
    assert saliency.shape == (10, 14)
    assert saliency.sum() == pytest.approx(model.predict(image()[None], verbose=0).item(), rel=1e-3)


def test_models_without_a_suitable_feature_map_are_refused():
    pixels = keras.Input((12, 16, 3))
    flat = layers.Dense(1)(layers.Flatten()(pixels))
    with pytest.raises(ValueError, match="must depend on one feature map .* depends on 0"):
        RiskSaliency(keras.Model(pixels, flat))
    fine, coarse = (layers.Conv2D(4, 3, strides=s)(pixels) for s in (1, 2))
    both = [layers.GlobalAveragePooling2D()(x) for x in (fine, coarse)]
    two_scales = keras.Model(pixels, layers.Dense(1)(layers.concatenate(both)))
    with pytest.raises(ValueError, match="depends on 2"):
        RiskSaliency(two_scales)
    with pytest.raises(ValueError, match=r"one log-hazard of shape \(n, 1\)"):
        RiskSaliency(keras.Model(pixels, fine))
    with pytest.raises(ValueError, match=r"shape \(12, 16, 3\).*not \(16, 12, 3\)"):
        risk_saliency(small_network(layers.GlobalAveragePooling2D())[0], image(16, 12))
