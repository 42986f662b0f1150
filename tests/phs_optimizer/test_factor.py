"""The factor of braking, in the situations that a training may meet."""

import warnings

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking
from phs_optimizer.factor import Factor
from phs_optimizer.stability import largest_time_step, schedule_value

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
    assert Factor(None, stages, True).settle(with_weight(optimizer())) == pytest.approx(factor)


def test_the_time_step_of_the_first_braking_counts():
    optimizer, factor = with_weight(PHS(0.01, mass=1.0, friction=1.0)), Factor(None, 2, True)
    optimizer.learning_rate = 0.04
    assert factor.settle(optimizer) == pytest.approx(5)
    optimizer.learning_rate = 0.01
    assert factor.settle(optimizer) == pytest.approx(5)
    optimizer.learning_rate = 0.0  # where no factor leads to gradient descent
    assert Factor(None, 2, True).settle(optimizer) == pytest.approx(1e15)


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


@pytest.mark.parametrize("time_step", [0.1, 0.01])  # of which float32 rounds one down
def test_a_training_without_momentum_has_nothing_to_brake(time_step):
    optimizer = with_weight(PHS.from_sgd(0.01, 0.0, time_step))
    with pytest.raises(ValueError, match="α r is 1 from the start, as with a momentum of"):
        Factor(None, 2, True).check(optimizer, 100)


def stalling(**options):
    """Return automatic braking, and a callback before it whose "validation" never improves."""
    rising = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(val_x=float(epoch))
    )
    options = {"validation": "val_x", "validation_mode": "min", "verbose": 0} | options
    return rising, GoalOrientedBraking("auto", **options)


def small(optimizer):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, **options):
    x = np.ones((64, 1))
    return model.fit(x, 0 * x, 4, verbose=0, callbacks=list(callbacks), **options)


def test_a_smaller_time_step_after_the_first_braking_does_not_change_the_factor(tmp_path):
    """α falls from 0.1 to 0.01 after four epochs, in a training that is interrupted there."""
    model, file = small(PHS.from_sgd(0.01, 0.99)), tmp_path / "model.keras"
    rising, braking = stalling(patience=2)
    fit(model, rising, braking, epochs=4)
    assert braking.factor == pytest.approx(10)
    model.optimizer.learning_rate = 0.01
    model.save(file)
    resumed = keras.models.load_model(file), *stalling(patience=2)
    for one, before, callback in ((model, rising, braking), resumed):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "GoalOrientedBraking resumes after step")
            warnings.filterwarnings("error", "GoalOrientedBraking resumes with friction")
            fit(one, before, callback, initial_epoch=4, epochs=8)
        assert callback.events[-1]["friction"] == pytest.approx(10)


def test_a_warm_up_from_0_does_not_make_braking_too_hard():
    warm_up = schedules.CosineDecay(0.0, 10_000, warmup_target=0.1, warmup_steps=20)
    model = small(PHS(warm_up, friction=0.1, friction_form="rate"))
    rising, braking = stalling(patience=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, rising, braking, epochs=3)
    assert braking.factor == pytest.approx(10, rel=0.01)


def test_a_friction_assigned_before_the_training_is_the_initial_one():
    model = small(PHS.from_sgd(0.0025, 0.95))
    model.optimizer.build(model.trainable_variables)
    model.optimizer.friction = 2.5
    rising, braking = stalling(patience=2, factor=2)
    fit(model, rising, braking, epochs=12)
    assert [event["friction"] for event in braking.events] == [5, 10, 10]


@pytest.mark.parametrize("swap_first", [True, False])
def test_best_weights_are_not_undone_by_averages_that_are_swapped(swap_first):
    model = small(PHS.from_sgd(0.0025, 0.95, use_ema=True))
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    rising, braking = stalling(patience=2)
    seen = []

    def look(batch, logs):
        if braking.events and len(seen) < 1:
            seen.append(float(keras.ops.convert_to_numpy(model.trainable_variables[0])[0, 0]))

    looking = keras.callbacks.LambdaCallback(on_train_batch_begin=look)
    order = [swap, rising, braking] if swap_first else [rising, braking, swap]
    fit(model, *order, looking, epochs=5)
    (best,) = braking._best_here[0][0]
    assert seen == pytest.approx([best], rel=1e-6)


@pytest.mark.parametrize("subclassed", [True, False])
def test_a_model_that_has_no_weights_before_its_first_step(subclassed):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False)

        def call(self, x):
            return self.dense(x)

    model = Own() if subclassed else keras.Sequential([keras.layers.Dense(1, use_bias=False)])
    model.compile(PHS(0.05, friction=6.0), "mse")
    braking = GoalOrientedBraking(0.5, average_steps=5, factor=2, verbose=0)
    energy = EnergyLogger(every=16)
    fit(model, energy, braking, epochs=3)
    assert [event["friction"] for event in braking.events] == [12]
    assert [record["step"] for record in energy.records] == [16, 32, 48]
    assert energy.records[-1]["dissipated"] > 0


def test_a_schedule_that_ends_before_the_planned_epochs_is_checked_up_to_its_end():
    class Table(schedules.LearningRateSchedule):
        def __call__(self, step):
            if int(keras.ops.convert_to_numpy(step)) > 99:
                raise IndexError("no such step")
            return keras.ops.convert_to_tensor(0.1, "float32")

    optimizer = with_weight(PHS(0.1, friction=5.0))
    assert largest_time_step(lambda step: schedule_value(Table(), step), 0, 10**10)[0] == (
        pytest.approx(0.1)
    )
    with pytest.raises(ValueError, match="too much here"):
        Factor(10, 2, False).check(optimizer, 100)
