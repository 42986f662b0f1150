"""Preprocessing: the statistics with which a model scales its pixels."""

import keras
import numpy as np
import pytest

from resbuilder.datasets import Preprocessing, load


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers([10, 100, 0], [60, 256, 30], (50, 6, 7, 3)).astype(np.uint8)


@pytest.mark.any_backend
def test_standardize_in_the_model_gives_mean_zero_and_variance_one(pixels):
    fitted = Preprocessing.fit(pixels, "standardize")
    layer = keras.layers.Rescaling(fitted.scale, fitted.offset)
    out = keras.ops.convert_to_numpy(layer(pixels.astype(np.float32)))
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(fitted(pixels), out, atol=1e-5)


def test_statistics_use_only_the_given_images(pixels):
    training = np.arange(0, 50, 2)
    changed = pixels.copy()
    changed[1::2] = 255
    fitted = Preprocessing.fit(changed, "standardize", training)
    assert fitted == Preprocessing.fit(pixels[training], "standardize")


def test_statistics_do_not_depend_on_the_chunks():
    """More images than are in memory as float64 at a time; float pixels far from zero."""
    x = np.random.default_rng(0).normal(1e4, 1, (9001, 1, 1, 2)).astype(np.float32)
    fitted = Preprocessing.fit(x, "standardize")
    exact = np.float64(x)
    np.testing.assert_allclose(1 / np.array(fitted.scale), exact.std((0, 1, 2)), rtol=1e-9)
    mean = -np.array(fitted.offset) / fitted.scale
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-12)


def test_a_constant_channel_is_centred(pixels):
    pixels[..., 1] = 77
    out = Preprocessing.fit(pixels, "standardize")(pixels)
    assert np.all(out[..., 1] == 0)


def test_unit_scales_every_source_to_zero_one(pixels):
    assert Preprocessing.fit(pixels, "unit").scale == (1 / 255,) * 3
    assert Preprocessing.fit(pixels / np.float32(255), "unit").scale == (1.0,) * 3
    digits = load("digits")
    fitted = Preprocessing.fit(digits.x_train, digits.scaling)
    assert fitted == Preprocessing(scale=(1 / 16,), offset=(0.0,))
    assert Preprocessing.fit(digits.x_train[:1] * 0, "unit").scale == (1.0,)


def test_bad_input_is_refused(pixels):
    with pytest.raises(ValueError, match="scaling must be one of"):
        Preprocessing.fit(pixels, "zca")
    with pytest.raises(ValueError, match=r'the smallest is -1.0; use "standardize"'):
        Preprocessing.fit(np.full((2, 3, 3, 1), -1, np.float32), "unit")
