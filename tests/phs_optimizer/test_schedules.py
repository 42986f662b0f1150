"""Schedules of the force, equal to SGD's; and braking under schedules of the time step."""

import warnings

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking
from phs_optimizer.energy import dissipation_rate, kinetic_energy
from phs_optimizer.stability import largest_time_step

pytestmark = pytest.mark.any_backend
schedules = keras.optimizers.schedules
SCHEDULES = {
    "constant": 0.02,
    "cosine after warm-up": schedules.CosineDecay(
        0.0, 12, warmup_target=0.05, warmup_steps=4, alpha=0.0
    ),
    "steps": schedules.PiecewiseConstantDecay([5, 9], [0.05, 0.01, 0.002]),
}
STEPS = 20  # beyond the end of the cosine, where the rate is 0


def walked(optimizer, steps=STEPS):
    """Return the weights after each step, with the same gradients for every optimizer."""
    weights = [keras.Variable(np.ones((3, 2), "float32")), keras.Variable(np.zeros(2, "float32"))]
    random, path = np.random.default_rng(0), []
    for _ in range(steps):
        slopes = [random.normal(size=w.shape).astype("float32") for w in weights]
        optimizer.apply([keras.ops.convert_to_tensor(s) for s in slopes], weights)
        path.append(np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in weights]))
    return np.array(path)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1, "global_clipnorm": 1.0}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
@pytest.mark.slow_on("jax")
def test_from_sgd_takes_the_steps_of_sgd_under_its_schedule(schedule, options):
    expected = walked(keras.optimizers.SGD(schedule, momentum=0.8, **options))
    for time_step in (0.1, 3.0):
        found = walked(PHS.from_sgd(schedule, 0.8, time_step, **options))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_schedule_of_the_time_step_acts_differently():
    """The equivalent SGD rate falls with the square of α, and the memory grows."""
    schedule = schedules.PiecewiseConstantDecay([5], [0.1, 0.05])
    phs = walked(PHS(schedule, mass=1.0, friction=2.0))
    squared = schedules.PiecewiseConstantDecay([5], [0.01, 0.0025])
    sgd = walked(keras.optimizers.SGD(squared, momentum=0.8))
    np.testing.assert_allclose(phs[:6], sgd[:6], rtol=1e-5)
    assert np.abs(phs[6:] - sgd[6:]).max() > 1e-3


@pytest.mark.parametrize(
    ("update_order", "form"), [("momentum_first", "viscous"), ("weights_first", "rate")]
)
def test_the_step_schedule_scales_the_force_and_nothing_else(update_order, form, walk):
    schedule = schedules.PolynomialDecay(1.0, 10, 0.2)
    optimizer = PHS(0.5, 2.0, 0.6, update_order, form, initial_momentum=1.0, step_schedule=schedule)
    weights, momenta = walk(optimizer, lambda w, k: 3 * w, 1.0, 12)
    w, p, kept = 1.0, 1.0, 1 - 0.5 * (0.3 if form == "viscous" else 0.6)
    for k in range(12):
        scale = max(0.2, 1 - 0.08 * k)
        new = kept * p - 0.5 * scale * 3 * w
        w += 0.25 * (new if update_order == "momentum_first" else p)
        p = new
        assert (weights[k + 1], momenta[k + 1]) == pytest.approx((w, p), rel=1e-4, abs=1e-5)


def test_from_sgd_survives_its_config_and_refuses_arguments_it_computes():
    optimizer = PHS.from_sgd(SCHEDULES["steps"], 0.9, clipnorm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.step_schedule.get_config() == SCHEDULES["steps"].get_config()
    np.testing.assert_allclose(walked(again), walked(optimizer))
    assert (again.clipnorm, again.friction_form) == (1.0, "rate")
    defaults, same = PHS(), PHS.from_sgd(0.01, 0.9)
    np.testing.assert_allclose(walked(same), walked(defaults), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="from_sgd got friction, mass, which follow from"):
        PHS.from_sgd(0.01, 0.9, mass=1.0, friction=2.0)
    with pytest.raises(ValueError, match="momentum must be from 0 to 1, not 1.1"):
        PHS.from_sgd(0.01, 1.1)
    with pytest.raises(ValueError, match="unknown option.*'nesterov'"):
        PHS.from_sgd(0.01, 0.9, nesterov=True)
    with pytest.raises(ValueError, match="step_schedule must be a keras.*, not 0.5; for a const"):
        PHS(step_schedule=0.5)
    falling = keras.optimizers.schedules.PolynomialDecay(-1.0, 10)
    with pytest.raises(ValueError, match=r"step_schedule\(0\) must be a number >= 0, not -1"):
        PHS(step_schedule=falling)
    with pytest.raises(ValueError, match="weight_decay must be a number >= 0, not '0.1'"):
        PHS.from_sgd(0.01, 0.9, weight_decay="0.1")


def test_energies_under_a_step_schedule_are_those_of_a_heavier_body():
    """Energies depend on s/m only, not on how it is split between s and m."""
    schedule = schedules.PiecewiseConstantDecay([2], [1.0, 0.5])
    bodies = [PHS(0.1, 1.0, 2.0, "momentum_first", "rate", step_schedule=schedule)]
    bodies += [PHS.from_sgd(schedules.PiecewiseConstantDecay([2], [0.01, 0.005]), 0.8)]
    paths = [walked(body, steps=6) for body in bodies]
    np.testing.assert_allclose(*paths, rtol=1e-5)
    kinetic = [kinetic_energy(body) for body in bodies]
    assert kinetic[0] == pytest.approx(kinetic[1], rel=1e-4)
    velocity = (paths[0][-1] - paths[0][-2]) / 0.1
    assert kinetic[0] == pytest.approx((1.0 / 0.5) * velocity @ velocity / 2, rel=1e-3)
    assert dissipation_rate(bodies[0]) == pytest.approx(2 * 2.0 * kinetic[0])
    stopped = PHS(step_schedule=schedules.PiecewiseConstantDecay([2], [1.0, 0.0]))
    walked(stopped, steps=6)
    assert np.isnan(kinetic_energy(stopped))


# --- braking under a schedule of the time step ------------------------------------------------


def model(optimizer):
    """Return a model with one weight, initially 1, whose loss is its square."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, epochs=25):
    x = np.ones((64, 1))
    options = {"batch_size": 4, "verbose": 0, "shuffle": False, "epochs": epochs}
    return model.fit(x, 0 * x, callbacks=list(callbacks), **options)


def friction(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.friction))


@pytest.mark.parametrize("peak", [0, 1, 100, 4_321, 99_999])
def test_the_largest_value_of_a_long_schedule_is_found(peak):
    asked = []

    def schedule(step):
        asked.append(step)
        return 1 / (1 + abs(step - peak) / 1000)

    assert largest_time_step(schedule, 0, 100_000) == (1.0, peak)
    assert len(asked) < 500
    assert largest_time_step(lambda step: 0.1, 7, 1) == (0.1, 7)


@pytest.mark.slow_on("jax")
def test_a_schedule_that_would_diverge_after_braking_is_refused_before_the_first_step():
    warm_up = schedules.CosineDecay(0.01, 400, warmup_target=0.1, warmup_steps=100)
    one = model(PHS(warm_up))
    with pytest.raises(
        ValueError, match=r"diverges: αγ/m = 3 with .* 0\.1, the largest of its sch"
    ):
        fit(one, GoalOrientedBraking(0.5, factor=30, average_steps=16, verbose=0))
    assert one.get_weights()[0] == 1
    with pytest.warns(UserWarning, match=r"oscillates: αγ/m = 1.5 with .* at step 100, friction"):
        fit(one, GoalOrientedBraking(1e-9, factor=15, average_steps=16, verbose=0), epochs=7)
    # In one epoch α stays below 0.025, so a factor of 30 causes no warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        braking = GoalOrientedBraking(0.01, factor=30, average_steps=16, verbose=0)
        fit(model(PHS(warm_up)), braking, epochs=1)


class Longer(keras.callbacks.Callback):
    """Multiply the time step in an epoch, which the check cannot foresee."""

    def __init__(self, factors):
        super().__init__()
        self.factors = factors

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.factors:
            optimizer = self.model.optimizer
            step = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = step * self.factors[epoch]


@pytest.mark.parametrize("braking_first", [True, False])
def test_an_unforeseen_increase_of_the_time_step_does_not_end_the_training(braking_first):
    """α r is 0.05 · 4, after braking 5 times this, 1; with α four times as large it would be 4."""
    one = model(PHS(0.05, 1.0, 4.0))
    braking = GoalOrientedBraking(0.5, factor=5, average_steps=10, verbose=0)
    order = [braking, Longer({3: 4.0, 6: 0.25})]
    with pytest.warns(
        UserWarning, match="α = 0.2 .* would diverge at friction 20. It is set to 5 i"
    ):
        history = fit(one, *(order if braking_first else order[::-1]), epochs=8).history
    assert [event["action"] for event in braking.events] == ["brake"]
    assert history["friction"][2] == 20
    assert history["friction"][3:6] == pytest.approx([5, 5, 5])
    # α falls again, so the friction takes the desired value.
    assert history["friction"][6:] == pytest.approx([20, 20])
    assert np.isfinite(one.get_weights()[0]).all()


def test_braking_after_the_time_step_has_grown_is_limited_too():
    one = model(PHS(lambda: 0.05, 1.0, 4.0))
    braking = GoalOrientedBraking(0.5, factor=5, average_steps=20, verbose=0)
    braking._factor.check = lambda *_: None  # as if α had been small before
    one.optimizer.learning_rate = lambda: 0.2
    with pytest.warns(UserWarning, match="would diverge at friction 20. It is set to 5 instead"):
        fit(one, braking, epochs=3)
    (event,) = braking.events
    assert event["friction"] == friction(one) == pytest.approx(5)


def test_energy_is_logged_under_a_step_schedule():
    schedule = schedules.CosineDecay(1.0, 40)
    energy = EnergyLogger(every=8)
    fit(model(PHS(0.05, 1.0, 4.0, step_schedule=schedule)), energy, epochs=3)
    kinetic = [record["kinetic"] for record in energy.records]
    assert np.isfinite(kinetic[:4]).all() and np.isnan(kinetic[-1])
    dissipated = [record["dissipated"] for record in energy.records]
    assert np.isfinite(dissipated).all() and dissipated == sorted(dissipated)
