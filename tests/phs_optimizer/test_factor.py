"""The factor with which automatic braking ends in plain gradient descent."""

import warnings

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from phs_optimizer import PHS, GoalOrientedBraking
from phs_optimizer.factor import factor_to_descent

pytestmark = pytest.mark.any_backend


def with_weight(optimizer):
    """Return the optimizer with one weight."""
    optimizer.build([keras.Variable(np.ones(1, "float32"))])
    return optimizer


@pytest.mark.parametrize(
    ("optimizer", "stages", "factor"),
    [
        (lambda: PHS.from_sgd(0.003, momentum=0.99), 2, 10),
        (lambda: PHS.from_sgd(0.01, momentum=0.9), 1, 10),
        (lambda: PHS.from_sgd(0.01, momentum=0.96), 2, 5),
        (lambda: PHS(0.05, mass=2.0, friction=5.0), 3, 2),  # αγ/m = 1/8
        (lambda: PHS(0.25, friction=0.5, friction_form="rate", friction_step="exponential"), 3, 2),
    ],
)
def test_its_power_divides_the_way_to_gradient_descent_evenly(optimizer, stages, factor):
    assert factor_to_descent(with_weight(optimizer()), stages, 100) == pytest.approx(factor)


def test_the_largest_time_step_of_the_whole_training_counts():
    rising = schedules.PiecewiseConstantDecay([50], [0.01, 0.04])
    optimizer = with_weight(PHS(rising, mass=1.0, friction=1.0))
    assert factor_to_descent(optimizer, 2, 50) == pytest.approx(10)
    assert factor_to_descent(optimizer, 2, 100) == pytest.approx(5)


@pytest.mark.parametrize("momentum", [0.99, 0.95])
def test_automatic_braking_ends_in_gradient_descent_without_a_warning(momentum):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(PHS.from_sgd(0.0025, momentum), "mse")
    x = np.ones((64, 1))
    callback = GoalOrientedBraking("auto", patience=2, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(x, 0 * x, 4, 200, 0, [callback], validation_data=(x, 0 * x + 0.3))
    frictions = [event["friction"] for event in callback.events]
    first = (1 - momentum) / 0.1
    assert frictions == pytest.approx([(first * 10) ** 0.5, 10, 10])
    assert callback.factor == pytest.approx((1 - momentum) ** -0.5)


def test_a_training_without_momentum_has_nothing_to_brake():
    optimizer = with_weight(PHS.from_sgd(0.01, momentum=0.0))
    with pytest.raises(ValueError, match="α r is 1 from the start. Begin with a longer memory"):
        factor_to_descent(optimizer, 2, 100)
