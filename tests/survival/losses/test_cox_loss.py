"""The loss as used by Keras."""

import keras
import numpy as np
import pytest

from survival import CoxPHLoss
from survival.losses import negative_log_partial_likelihood

pytestmark = pytest.mark.any_backend

Y = np.array([[5, 1], [3, 0], [2, 1], [2, 1], [9, 0]], "float32")
H = np.array([0.5, -1.0, 2.0, 0.0, 0.25], "float32")[:, None]


def network(seed=0, dtype=None):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "tanh", dtype=dtype),
            keras.layers.Dense(1, dtype=dtype),
        ]
    )


def data(rows=30, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 3)).astype("float32")
    time = random.exponential(np.exp(-2 * x[:, 0]))
    return x, np.stack([time, random.random(rows) < 0.7], axis=1).astype("float32")


def test_normalizations():
    total = float(negative_log_partial_likelihood(Y, H))
    assert float(CoxPHLoss(normalization="sum")(Y, H)) == pytest.approx(total)
    assert float(CoxPHLoss()(Y, H)) == pytest.approx(total / 3)  # events
    assert float(CoxPHLoss(normalization="batch")(Y, H)) == pytest.approx(total / 5)
    # By hand: the risk sets are {5, 9}, and twice all rows (Breslow).
    exp = np.exp(H[:, 0])
    by_hand = np.log(exp[0] + exp[4]) - 0.5 + 2 * np.log(exp.sum()) - 2.0 - 0.0
    assert total == pytest.approx(by_hand, rel=1e-6)


def test_normalizations_count_weights():
    weight = np.array([1, 0, 2, 1, 1], "float32")
    total = float(CoxPHLoss(normalization="sum")(Y, H, weight))
    assert float(CoxPHLoss()(Y, H, weight)) == pytest.approx(total / 4)
    assert float(CoxPHLoss(normalization="batch")(Y, H, weight)) == pytest.approx(total / 5)


@pytest.mark.parametrize("normalization", ["events", "batch", "sum"])
def test_both_forms_of_the_penalty(normalization):
    plain = float(CoxPHLoss(normalization=normalization)(Y, H))
    mean = H.mean()
    options = {"normalization": normalization, "mean_penalty": 0.3}
    assert float(CoxPHLoss(**options)(Y, H)) == pytest.approx(plain + 0.3 * mean**2)
    printed = CoxPHLoss(**options, mean_penalty_form="squared_sum")
    assert float(printed(Y, H)) == pytest.approx(plain + 0.3 / 5 * H.sum() ** 2)


@pytest.mark.slow_on("jax")
def test_padding_rows_change_nothing(value_and_gradient):
    for form in ("squared_mean", "squared_sum"):
        loss = CoxPHLoss(mean_penalty=0.3, mean_penalty_form=form, ties="efron")
        expected, by_row = value_and_gradient(lambda h, loss=loss: loss(Y, h), H)
        y = np.concatenate([Y, Y[:2]])
        weight = np.array([1, 1, 1, 1, 1, 0, 0], "float32")
        h = np.concatenate([H, [[np.nan], [1e4]]]).astype("float32")
        for rows in (weight, weight[:, None]):
            found, gradient = value_and_gradient(
                lambda h, loss=loss, rows=rows, y=y: loss(y, h, rows), h
            )
            assert found == pytest.approx(expected, rel=1e-6)
            np.testing.assert_allclose(gradient[:5], by_row, rtol=1e-5, atol=1e-7)
            assert not gradient[5:].any()


def test_without_events_only_the_penalty_is_left(value_and_gradient):
    y = Y * [1, 0]
    value, gradient = value_and_gradient(lambda h: CoxPHLoss()(y, h), H)
    assert value == 0 and not gradient.any()
    value, gradient = value_and_gradient(lambda h: CoxPHLoss(mean_penalty=2.0)(y, h), H)
    assert value == pytest.approx(2 * H.mean() ** 2)
    np.testing.assert_allclose(gradient, 4 * H.mean() / 5, rtol=1e-5)
    # If all rows have weight 0, nothing is left.
    value, gradient = value_and_gradient(
        lambda h: CoxPHLoss(mean_penalty=2.0)(Y, h, np.zeros(5)), H
    )
    assert value == 0 and not gradient.any()


def test_call_returns_one_value_for_each_row():
    """Keras divides a vector of losses by the number of replicas, but not a scalar."""
    values = CoxPHLoss(mean_penalty=0.1).call(keras.ops.array(Y), keras.ops.array(H))
    assert values.shape == (5,)
    expected = float(CoxPHLoss(mean_penalty=0.1)(Y, H))
    assert float(keras.ops.mean(values)) == pytest.approx(expected)


def test_the_configuration_is_restored():
    loss = CoxPHLoss("efron", "batch", 0.25, "squared_sum", name="cox")
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(twin, CoxPHLoss)
    assert twin.get_config() == loss.get_config()
    assert float(twin(Y, H)) == float(loss(Y, H))


def test_a_compiled_model_is_saved_with_the_loss(tmp_path):
    x, y = data()
    model = network()
    model.compile("adam", CoxPHLoss(ties="efron", mean_penalty=0.1))
    model.fit(x, y, batch_size=30, verbose=0)
    before = model.evaluate(x, y, batch_size=30, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.ties == "efron"
    assert again.evaluate(x, y, batch_size=30, verbose=0) == pytest.approx(before)


def test_fit_learns_the_order_of_deaths():
    x, y = data(128)
    model = network()
    # The last batch is smaller than the others, and some rows have weight 0.
    model.compile(keras.optimizers.Adam(0.05), CoxPHLoss())
    present = np.ones(128, "float32")
    present[::10] = 0
    history = model.fit(x, y, batch_size=50, epochs=8, sample_weight=present, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.3
    risk = model.predict(x, verbose=0)[:, 0]
    assert np.corrcoef(risk, x[:, 0])[0, 1] > 0.8  # a higher output means an earlier event


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_step_follows_the_definition(brute_force, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch compiles with a C++ compiler, which may be missing")
    x, y = data(90)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), CoxPHLoss("efron"), jit_compile=jit_compile)
    (before,) = model.get_weights()
    value, by_row = brute_force(y, x @ before, "efron")
    history = model.fit(x, y, batch_size=90, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(value / y[:, 1].sum(), rel=1e-5)
    (after,) = model.get_weights()
    expected = -x.T @ by_row[:, None] / y[:, 1].sum()
    np.testing.assert_allclose(after - before, expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_gives_almost_the_same_loss(policy):
    x, y = data(60)
    y[:, 0] = 1000 + y[:, 0]  # in half precision all times would be equal
    exact = network()
    exact.compile("sgd", CoxPHLoss())
    expected = exact.evaluate(x, y, batch_size=60, verbose=0)
    mixed = network(dtype=policy)
    mixed.compile(keras.optimizers.SGD(0.1), CoxPHLoss())
    assert mixed.evaluate(x, y, batch_size=60, verbose=0) == pytest.approx(expected, abs=0.02)
    loss = mixed.fit(x, y, batch_size=60, epochs=5, verbose=0).history["loss"]
    assert loss[-1] < loss[0]


def test_a_bad_argument_is_named_in_the_error():
    with pytest.raises(ValueError, match="normalization must be one of 'events', 'batch', 'sum'"):
        CoxPHLoss(normalization="mean")
    with pytest.raises(ValueError, match="ties must be one of"):
        CoxPHLoss(ties="exact")
    with pytest.raises(ValueError, match="mean_penalty_form must be one of"):
        CoxPHLoss(mean_penalty_form="printed")
    for wrong in (-1, float("nan"), float("inf"), "0.1", None):
        with pytest.raises(ValueError, match="mean_penalty must be a number >= 0"):
            CoxPHLoss(mean_penalty=wrong)
    with pytest.raises(ValueError, match="y_pred must have one value for each row"):
        CoxPHLoss()(Y, H[:3])
    with pytest.raises(ValueError, match="time must be finite and >= 0, got -5 in row 0"):
        CoxPHLoss()(Y * [-1, 1], H)


def test_a_model_with_two_outputs_is_refused():
    x, y = data()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", CoxPHLoss())
    with pytest.raises(ValueError, match="y_pred must have one value for each row"):
        model.fit(x, y, verbose=0)
