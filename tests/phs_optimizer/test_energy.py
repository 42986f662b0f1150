"""The energies: computed by hand, on a quadratic loss, and in the records."""

import csv

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, EnergyLogger
from phs_optimizer.energy import COLUMNS, dissipation_rate, kinetic_energy

START = np.array([1.0, -0.5])
STEP, MASS, FRICTION, MOMENTUM = 0.1, 0.5, 0.3, 0.4


def quadratic(optimizer, regularizer=None, **compile_arguments):
    """Return a model whose loss is ‖w‖²/2, for the input 1 and the target (0, 0)."""
    layer = keras.layers.Dense(2, use_bias=False, kernel_regularizer=regularizer)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.set_weights([START[None]])
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def optimizer(step=STEP, **arguments):
    return PHS(step, MASS, FRICTION, initial_momentum=MOMENTUM, **arguments)


def logged(model, steps, epochs=1, **arguments):
    """Return the logger after ``epochs`` epochs of ``steps`` steps."""
    logger = EnergyLogger(**arguments)
    fit(model, steps, epochs, logger)
    return logger


def fit(model, steps, epochs, logger):
    x, y = np.ones((steps, 1)), np.zeros((steps, 2))
    model.fit(x, y, batch_size=1, epochs=epochs, verbose=0, callbacks=[logger])


def trajectory(steps, step=STEP):
    """Return weights and momenta before the first step and after each."""
    w, p = START, np.full(2, MOMENTUM)
    path = [(w, p)]
    for _ in range(steps):
        p = (1 - step * FRICTION / MASS) * p - step * w
        w = w + step / MASS * p
        path.append((w, p))
    return [np.array(part) for part in zip(*path, strict=True)]


def column(logger, name):
    return np.array([record[name] for record in logger.records])


# --- by hand --------------------------------------------------------------------------------


@pytest.mark.any_backend
def test_kinetic_energy_and_dissipation_by_hand():
    for form, rate in (("viscous", 0.6 / 2), ("rate", 0.6)):
        body = PHS(0.1, mass=2.0, friction=0.6, friction_form=form)
        body.build([keras.Variable(np.zeros(2)), keras.Variable(np.zeros((1, 1)))])
        assert kinetic_energy(body) == dissipation_rate(body) == 0
        body.momenta[0].assign([1.0, 2.0])
        body.momenta[1].assign([[3.0]])
        assert kinetic_energy(body) == pytest.approx((1 + 4 + 9) / (2 * 2.0))
        assert dissipation_rate(body) == pytest.approx(rate * 14 / 2.0)
        body.friction = 1.2  # braking
        assert dissipation_rate(body) == pytest.approx(2 * rate * 14 / 2.0)


@pytest.mark.any_backend
def test_every_step_of_a_quadratic_loss():
    logger = logged(quadratic(optimizer()), steps=20, every=1)
    w, p = trajectory(20)
    squares = (p**2).sum(axis=1)
    # The loss of a step is computed with the weights before it.
    potential, kinetic = (w[:-1] ** 2).sum(axis=1) / 2, squares[1:] / (2 * MASS)
    power = FRICTION / MASS * squares / MASS
    dissipated = np.cumsum(STEP * (power[1:] + power[:-1]) / 2)
    np.testing.assert_array_equal(column(logger, "step"), np.arange(1, 21))
    np.testing.assert_allclose(column(logger, "potential"), potential, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(column(logger, "kinetic"), kinetic, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(column(logger, "dissipated"), dissipated, rtol=1e-4)
    np.testing.assert_allclose(column(logger, "total"), potential + kinetic, rtol=1e-4)
    np.testing.assert_allclose(column(logger, "friction"), FRICTION, rtol=1e-6)


@pytest.mark.any_backend
def test_total_plus_dissipated_energy_is_constant_to_first_order():
    at_start = START @ START / 2 + 2 * MOMENTUM**2 / (2 * MASS)
    steps, defects = np.array([20, 40, 80]), []
    for number in steps:
        logger = logged(quadratic(optimizer(1.0 / number)), number, every=1)
        balance = column(logger, "total") + column(logger, "dissipated")
        defects.append(np.abs(balance - at_start).max())
        assert column(logger, "dissipated")[-1] > 0.3 * at_start
    order = np.polyfit(np.log(1 / steps), np.log(defects), 1)[0]
    assert order == pytest.approx(1, abs=0.12)
    assert defects[-1] < 0.01 * at_start


# --- time of records ------------------------------------------------------------------------


@pytest.mark.any_backend
def test_records_every_few_steps_across_epochs():
    logger = logged(quadratic(optimizer()), steps=6, epochs=3, every=4)
    np.testing.assert_array_equal(column(logger, "step"), [4, 8, 12, 16])
    losses = (trajectory(18)[0] ** 2).sum(axis=1) / 2
    means = losses[:16].reshape(4, 4).mean(axis=1)  # of the steps since the previous record
    np.testing.assert_allclose(column(logger, "potential"), means, rtol=1e-4)


@pytest.mark.any_backend
def test_records_every_epoch_by_default_across_several_fits():
    model, logger = quadratic(optimizer()), EnergyLogger()
    fit(model, 5, 2, logger)
    fit(model, 5, 1, logger)
    np.testing.assert_array_equal(column(logger, "step"), [5, 10, 15])
    losses = (trajectory(15)[0] ** 2).sum(axis=1) / 2
    means = losses[:15].reshape(3, 5).mean(axis=1)
    np.testing.assert_allclose(column(logger, "potential"), means, rtol=1e-4)
    at_once = logged(quadratic(optimizer()), 5, 3)
    np.testing.assert_allclose(
        column(logger, "dissipated"), column(at_once, "dissipated"), rtol=1e-5
    )


@pytest.mark.any_backend
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses it on torch")
def test_several_steps_per_execution_are_recorded_together():
    model = quadratic(optimizer(), steps_per_execution=3)
    logger = logged(model, steps=9, every=2)
    np.testing.assert_array_equal(column(logger, "step"), [3, 6, 9])
    w, p = trajectory(9)
    losses, kinetic = (w**2).sum(axis=1) / 2, (p**2).sum(axis=1) / (2 * MASS)
    means = losses[:9].reshape(3, 3).mean(axis=1)
    np.testing.assert_allclose(column(logger, "potential"), means, rtol=1e-4)
    np.testing.assert_allclose(column(logger, "kinetic"), kinetic[[3, 6, 9]], rtol=1e-4)


@pytest.mark.any_backend
def test_accumulated_steps_together_take_the_time_of_one():
    accumulated = optimizer(gradient_accumulation_steps=2)
    half = logged(quadratic(accumulated), steps=12, every=2)
    whole = logged(quadratic(optimizer()), steps=6, every=1)
    for name in ("kinetic", "potential", "dissipated"):
        np.testing.assert_allclose(column(half, name), column(whole, name), rtol=1e-4)


@pytest.mark.any_backend
def test_the_dissipated_energy_grows_even_as_the_time_step_shrinks():
    schedule = keras.optimizers.schedules.ExponentialDecay(STEP, decay_steps=1, decay_rate=0.95)
    logger = logged(quadratic(optimizer(schedule)), steps=15, every=1)
    assert np.all(np.diff(column(logger, "dissipated")) > 0)
    power = 2 * column(logger, "kinetic") * FRICTION / MASS
    expected = (power * STEP * 0.95 ** np.arange(15)).sum()
    assert column(logger, "dissipated")[-1] == pytest.approx(expected, rel=0.1)


# --- contents of records --------------------------------------------------------------------


@pytest.mark.any_backend
def test_the_file_has_the_records(tmp_path):
    path = tmp_path / "energy.csv"
    logger = logged(quadratic(optimizer()), steps=3, every=1, csv_path=path)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS == tuple(logger.records[0])
    assert [[float(value) for value in row] for row in rows] == [
        list(record.values()) for record in logger.records
    ]


@pytest.mark.any_backend
def test_the_potential_is_the_loss_without_regularization_terms():
    still = PHS(1e-5, mass=1.0, friction=1.0)
    model = quadratic(still, regularizer=keras.regularizers.L2(3.0))
    logger = logged(model, steps=4, every=2)
    task = START @ START / 2
    assert model.history.history["loss"][0] == pytest.approx(task + 3.0 * START @ START, rel=1e-3)
    np.testing.assert_allclose(column(logger, "potential"), task, rtol=1e-3)


# JAX writes weights back only at the end of an epoch.
def test_regularization_terms_are_computed_again_as_the_weights_move():
    model = quadratic(optimizer(), regularizer=keras.regularizers.L2(3.0))
    weights = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_, **__: weights.append(
            keras.ops.convert_to_numpy(model.trainable_variables[0]).ravel().copy()
        )
    )
    logger = EnergyLogger(every=1)
    data = np.ones((6, 1)), np.zeros((6, 2))
    model.fit(*data, batch_size=1, verbose=0, callbacks=[logger, watch])
    # A loss includes the term before its step. In the first step, only the one after it is known.
    before = [3.0 * w @ w for w in weights]
    expected = np.array([0.5 * w @ w for w in weights])
    expected[0] += before[0] - before[1]
    np.testing.assert_allclose(column(logger, "potential"), expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(before) > 0.5


@pytest.mark.any_backend
def test_steps_without_the_logger_dissipate_nothing_in_its_records():
    model = quadratic(optimizer())
    logger = logged(model, steps=5, every=1)
    before = logger.records[-1]["dissipated"]
    data = np.ones((50, 1)), np.zeros((50, 2))
    model.fit(*data, batch_size=1, verbose=0)
    rate = dissipation_rate(model.optimizer)
    fit(model, 1, 1, logger)
    latest = logger.records[-1]
    assert latest["step"] == 56
    expected = STEP * (rate + dissipation_rate(model.optimizer)) / 2
    assert latest["dissipated"] - before == pytest.approx(expected, rel=1e-3)


@pytest.mark.any_backend
def test_a_metric_can_be_the_potential():
    model = quadratic(optimizer(), metrics=["mae"])
    logger = logged(model, steps=4, every=1, monitor="mae")
    expected = np.abs(trajectory(4)[0][:-1]).mean(axis=1)
    np.testing.assert_allclose(column(logger, "potential"), expected, rtol=1e-4)


@pytest.mark.any_backend
def test_energies_in_mixed_precision_are_those_of_the_trajectory():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = quadratic(optimizer())
        logger = logged(model, steps=8, every=1)
    finally:
        keras.config.set_dtype_policy(before)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    w, p = trajectory(8)
    np.testing.assert_allclose(
        column(logger, "kinetic"), (p[1:] ** 2).sum(axis=1) / (2 * MASS), rtol=0.02
    )
    np.testing.assert_allclose(
        column(logger, "potential"), (w[:-1] ** 2).sum(axis=1) / 2, rtol=0.02
    )


@pytest.mark.any_backend
def test_steps_skipped_by_loss_scaling_are_not_counted_and_nothing_is_forgotten(tmp_path):
    model = quadratic(keras.optimizers.LossScaleOptimizer(optimizer()))
    logger = EnergyLogger(every=2, csv_path=tmp_path / "energy.csv")
    x, y = np.ones((8, 1)), np.zeros((8, 2))
    x[1] = np.inf
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[logger])
    assert model.optimizer.inner_optimizer.steps_taken() == 7
    first = list(logger.records)
    assert [record["step"] for record in first] == [1, 3, 5, 7]
    model.fit(x[2:], y[2:], batch_size=1, shuffle=False, verbose=0, callbacks=[logger])
    assert logger.records[:4] == first
    assert [record["step"] for record in logger.records[4:]] == [8, 10, 12]
    with (tmp_path / "energy.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 3, 5, 7, 8, 10, 12]


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.any_backend
def test_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="EnergyLogger needs a model compiled with.*not with SGD"):
        logged(quadratic(keras.optimizers.SGD()), steps=1)


@pytest.mark.any_backend
@pytest.mark.parametrize("every", [0, -1, 2.5, True, "epoch"])
def test_an_invalid_number_of_steps_is_refused(every):
    with pytest.raises(ValueError, match="every must be a whole number >= 1, not"):
        EnergyLogger(every=every)


@pytest.mark.any_backend
def test_an_unknown_name_raises_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown option.*'frequency'.*every, monitor, csv_path"):
        EnergyLogger(frequency=3)
    with pytest.raises(
        ValueError, match=r"monitor='accuracy' is not among what Keras logs.*\(loss\)"
    ):
        logged(quadratic(optimizer()), steps=1, monitor="accuracy")
