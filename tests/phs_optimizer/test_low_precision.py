"""Weights in bfloat16 and float16: friction is not rounded away."""

import keras
import numpy as np
import pytest

from phs_optimizer import PHS
from phs_optimizer.optimizer import UPDATE_ORDERS

pytestmark = pytest.mark.any_backend


def numbers(variable):
    return np.array(keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_friction_below_the_rounding_of_the_weights_has_an_effect(dtype):
    """1 − α r = 0.999 rounds to 1 in bfloat16, but 82 % of p must be left after 200 steps."""
    weight = keras.Variable(np.zeros(3), dtype=dtype)
    optimizer = PHS(0.1, 1.0, 0.01, initial_momentum=1.0)
    with pytest.warns(UserWarning, match=f"Weights in {dtype}: .*float32.*mixed_bfloat16"):
        optimizer.build([weight])
    nothing = keras.ops.zeros((3,), dtype)
    for _ in range(200):
        optimizer.apply([nothing], [weight])
    assert keras.backend.standardize_dtype(optimizer.momenta[0].dtype) == "float32"
    assert numbers(optimizer.momenta[0]) == pytest.approx(0.999**200, rel=1e-3)


@pytest.mark.parametrize("update_order", UPDATE_ORDERS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_steps_are_computed_in_float32_and_rounded_once(dtype, update_order, walk):
    random = np.random.default_rng(0)
    slopes = random.normal(size=(20, 4)).astype("float32")
    low = keras.Variable(np.ones(4), dtype=dtype)
    optimizer = PHS(0.3, 0.5, 0.2, update_order, weight_decay=0.01)
    with pytest.warns(UserWarning, match="Weights in"):
        optimizer.build([low])
    exact = keras.Variable(np.ones(4, "float32"))
    reference = PHS(0.3, 0.5, 0.2, update_order, weight_decay=0.01)
    for slope in slopes:
        slope = keras.ops.cast(slope, dtype)
        optimizer.apply([slope], [low])
        reference.apply([keras.ops.cast(slope, "float32")], [exact])
    np.testing.assert_allclose(
        numbers(optimizer.momenta[0]), numbers(reference.momenta[0]), rtol=1e-5
    )
    rounding = {"bfloat16": 2**-8, "float16": 2**-11}[dtype]
    # Twenty steps with weight decay, each rounded.
    np.testing.assert_allclose(numbers(low), numbers(exact), atol=60 * rounding)
    assert np.abs(numbers(exact) - 1).max() > 1


def test_a_model_in_bfloat16_trains_and_resumes_from_a_file(tmp_path):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4, "tanh", dtype="bfloat16"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(PHS(0.1, 1.0, 0.5), "mse")
    x = np.random.default_rng(0).normal(size=(32, 2))
    with pytest.warns(UserWarning, match="Weights in bfloat16"):
        losses = model.fit(x, x.sum(1), epochs=4, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "low.keras")
    with pytest.warns(UserWarning, match="Weights in bfloat16"):
        again = keras.models.load_model(tmp_path / "low.keras")
    for ours, theirs in zip(again.optimizer.momenta, model.optimizer.momenta, strict=True):
        np.testing.assert_array_equal(numbers(ours), numbers(theirs))
