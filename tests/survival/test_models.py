"""The VGG-like network of chapter 7."""

import keras
import numpy as np
import pytest
from keras import ops
from numpy.testing import assert_allclose

from survival.models import vgg_survival_model


def test_the_layers_are_those_of_the_author():
    model = vgg_survival_model()
    assert model.input_shape == (None, 2000, 2500, 3)
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [64, 64, 128, 128, 256, 256, 512, 512]
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [4096, 2048, 1]
    # (9·in + 1)·out per convolution, (in + 1)·out per dense layer; the last has no bias.
    convolutions = sum((9 * i + 1) * o for i, o in zip([3, *filters[:-1]], filters, strict=True))
    heads = (512 + 1) * 4096 + (4096 + 1) * 2048 + 2048
    assert model.count_params() == convolutions + heads


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_a_white_slide_gives_no_signal_and_padding_has_only_a_local_effect():
    model = vgg_survival_model((32, 48, 3), width=1 / 16, seed=0)
    white = np.full((1, 32, 48, 3), 255, "uint8")
    assert_allclose(ops.convert_to_numpy(model(white)), 0, atol=1e-6)
    # The same tissue on a larger canvas has the same features, except near the border.
    tissue = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), "uint8")
    padded = np.full((1, 64, 96, 3), 255, "uint8")
    padded[:, 16:48, 24:72] = tissue
    alone, inside = (
        early_features(vgg_survival_model(pixels.shape[1:], width=1 / 16, seed=0), pixels)
        for pixels in (tissue, padded)
    )
    assert alone.shape == (1, 8, 12, 4)  # a quarter of the image
    inside = inside[:, 4:12, 6:18]
    assert_allclose(alone[:, 2:-2, 2:-2], inside[:, 2:-2, 2:-2], atol=1e-5)
    assert np.abs(alone - inside).max() > 0.01  # at the border


def early_features(model, pixels):
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):  # otherwise the padding would have no effect
            layer.bias.assign(np.full(layer.filters, 0.3))
    return ops.convert_to_numpy(
        keras.Model(model.input, model.get_layer("block2_pool").output)(pixels)
    )


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_log_hazards_are_float32_in_mixed_precision_and_near_those_in_float32():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    exact = vgg_survival_model((32, 32, 3), width=1 / 8, seed=1)
    half = vgg_survival_model((32, 32, 3), width=1 / 8, seed=1, dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    risk = ops.convert_to_numpy(exact(pixels))
    assert half(pixels).dtype == exact(pixels).dtype
    assert_allclose(ops.convert_to_numpy(half(pixels)), risk, atol=0.02 + 0.05 * np.abs(risk).max())


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_a_seed_repeats_the_weights_and_layers_differ():
    one, two = (vgg_survival_model((16, 16, 3), width=1 / 16, seed=5) for _ in range(2))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        assert_allclose(a, b)
    third, fourth = (one.get_layer(f"block3_conv{n}").get_weights()[0] for n in (1, 2))
    assert not np.allclose(third[:, :, :4, :8], fourth[:, :, :4, :8])


@pytest.mark.slow
def test_the_network_learns_to_order_by_darkness():
    """A complete fit with Keras: darker images get higher values."""
    rng = np.random.default_rng(0)
    dark = rng.uniform(0, 1, 64)
    pixels = 255 * (1 - dark[:, None, None, None] * rng.uniform(0.5, 1, (64, 16, 16, 3)))
    model = vgg_survival_model((16, 16, 3), width=1 / 8, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(pixels, dark, batch_size=16, epochs=20, verbose=0)
    assert np.corrcoef(model.predict(pixels, verbose=0)[:, 0], dark)[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 32), (32, 32, 0)])
def test_a_canvas_that_is_too_small_is_refused(shape):
    with pytest.raises(ValueError, match="at least 16×16 pixels"):
        vgg_survival_model(shape)
    with pytest.raises(ValueError, match="width"):
        vgg_survival_model((32, 32, 3), width=0)
