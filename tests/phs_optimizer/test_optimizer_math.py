"""PHS compared with its equations: single steps by hand, and limits predicted by theory."""

import itertools

import keras
import numpy as np
import pytest

from phs_optimizer import PHS
from phs_optimizer.optimizer import FRICTION_FORMS, FRICTION_STEPS, UPDATE_ORDERS

pytestmark = pytest.mark.any_backend

SCHEMES = list(itertools.product(UPDATE_ORDERS, FRICTION_STEPS))
# Share of the momentum left after a step with α = 1/2, m = 2, γ = 1, where r is 1/2 or 1.
KEPT = {
    ("viscous", "explicit"): 0.75,
    ("rate", "explicit"): 0.5,
    ("viscous", "exponential"): 0.7788007830714049,  # exp(-1/4)
    ("rate", "exponential"): 0.6065306597126334,  # exp(-1/2)
}


def fitted_order(sizes, errors):
    """Return q of errors ~ sizes^q, by regression on the logarithms."""
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def energy(weights, momenta, mass, stiffness):
    """Return H of eq. (3.1) for the loss k w²/2."""
    return momenta**2 / (2 * mass) + stiffness * weights**2 / 2


# --- single steps ---------------------------------------------------------------------------


@pytest.mark.parametrize("update_order", UPDATE_ORDERS)
@pytest.mark.parametrize(("form", "step"), KEPT)
def test_two_steps_by_hand(update_order, form, step, walk):
    optimizer = PHS(0.5, 2.0, 1.0, update_order, form, step, initial_momentum=1.0)
    weights, momenta = walk(optimizer, lambda w, k: (2.0, -1.0)[k], 1.0, 2)
    kept = KEPT[form, step]
    first = kept - 1.0  # κ·1 − ½·2
    second = kept * first + 0.5  # κ·p − ½·(−1)
    assert momenta == pytest.approx([1.0, first, second], rel=1e-6)
    if update_order == "momentum_first":  # each step moves by α/m = ¼ of the new momentum,
        expected = [1.0, 1 + first / 4, 1 + first / 4 + second / 4]
    else:  # or of the old one
        expected = [1.0, 1.25, 1.25 + first / 4]
    assert weights == pytest.approx(expected, rel=1e-6)


def test_the_defaults_follow_the_printed_equations():
    config = PHS().get_config()
    assert config["update_order"] == "momentum_first"
    assert (config["friction_form"], config["friction_step"]) == ("viscous", "explicit")
    assert (config["mass"], config["friction"], config["learning_rate"]) == (
        1.0,
        1.0,
        pytest.approx(0.1),
    )


@pytest.mark.parametrize(
    "initial", [2, 2.0, np.float32(2), keras.initializers.Constant(2.0), "ones"]
)
def test_without_forces_the_initial_momentum_moves_the_weights(initial, walk):
    optimizer = PHS(0.5, mass=4.0, friction=0.0, initial_momentum=initial)
    weights, momenta = walk(optimizer, lambda w, k: 0 * w, [1.0, -1.0], 3)
    p0 = 1.0 if isinstance(initial, str) else 2.0
    assert np.all(momenta == p0)
    expected = np.array([1.0, -1.0]) + np.arange(4)[:, None] * 0.5 / 4 * p0
    assert weights == pytest.approx(expected)


def test_random_initial_momenta_are_independent():
    alike = [keras.Variable(np.zeros((4, 4))) for _ in range(2)]
    optimizer = PHS(initial_momentum="random_normal")
    optimizer.build(alike)
    first, second = (keras.ops.convert_to_numpy(p) for p in optimizer.momenta)
    assert np.std(first) > 0 and np.std(second) > 0
    assert not np.allclose(first, second)


# --- equivalence with SGD -------------------------------------------------------------


def test_three_hundred_steps_equal_those_of_sgd_with_momentum():
    x = np.random.default_rng(0).normal(size=(960, 8))
    y = x[:, :3].argmax(axis=1)
    step, mass, friction = 0.15, 0.37, 0.2
    optimizers = (
        PHS(step, mass, friction),
        keras.optimizers.SGD(step**2 / mass, momentum=1 - step * friction / mass),
    )
    start, ends, losses = None, [], []
    for optimizer in optimizers:
        model = keras.Sequential(
            [keras.Input((8,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3, "softmax")]
        )
        start = start or model.get_weights()
        model.set_weights(start)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0)
        ends.append(model.get_weights())
        losses.append(history.history["loss"])
    assert losses[0][-1] < 0.5 * losses[0][0]  # the weights have moved
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("update_order", "friction_step"), SCHEMES)
def test_a_schedule_changes_the_time_step_in_every_term(update_order, friction_step, walk):
    mass, friction, stiffness, steps = 0.5, 0.4, np.array([1.0, 3.0]), 25
    schedule = keras.optimizers.schedules.ExponentialDecay(0.25, decay_steps=1, decay_rate=0.9)
    optimizer = PHS(schedule, mass, friction, update_order, friction_step=friction_step)
    weights, momenta = walk(optimizer, lambda w, k: stiffness * w, [1.0, -2.0], steps)
    w, p = np.array([1.0, -2.0]), np.zeros(2)
    for k in range(steps):
        step = 0.25 * 0.9**k
        damping = step * friction / mass
        kept = 1 - damping if friction_step == "explicit" else np.exp(-damping)
        new = kept * p - step * stiffness * w
        w = w + step / mass * (new if update_order == "momentum_first" else p)
        p = new
        np.testing.assert_allclose(weights[k + 1], w, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(momenta[k + 1], p, rtol=1e-5, atol=1e-5)


# --- stability ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FRICTION_FORMS)
def test_explicit_friction_just_below_its_bound_stays_bounded(form, walk):
    mass = 0.5
    friction = 1.98 / 0.1 * (mass if form == "viscous" else 1.0)
    with pytest.warns(UserWarning, match="oscillates: αγ"):
        optimizer = PHS(0.1, mass, friction, friction_form=form, initial_momentum=1.0)
    flat_and_curved = np.array([0.0, 1.0])
    weights, momenta = walk(optimizer, lambda w, k: flat_and_curved * w, [1.0, 1.0], 300)
    signs = np.sign(momenta[:20, 0])
    assert np.all(signs[1:] == -signs[:-1])  # as the warning says
    assert momenta[:, 0] == pytest.approx((-0.98) ** np.arange(301), abs=1e-4)
    assert np.abs(momenta).max() < 1.5 and np.abs(weights).max() < 1.5
    assert np.abs(momenta[-1]).max() < 0.05


@pytest.mark.parametrize("form", FRICTION_FORMS)
def test_the_bound_is_allowed_and_exceeding_it_is_an_error(form):
    mass = 0.5
    bound = 2 / 0.1 * (mass if form == "viscous" else 1.0)
    with pytest.warns(UserWarning, match="oscillates"):
        PHS(0.1, mass, bound, friction_form=form)
    with pytest.raises(ValueError, match=r"αγ.* = 2\.02 with .*must not exceed 2.*exponential"):
        PHS(0.1, mass, 1.01 * bound, friction_form=form)


def test_there_is_no_warning_up_to_one(recwarn):
    PHS(0.1, 1.0, 10.0)  # exactly 1, although 0.1 is slightly more in float32
    PHS(1e-4, 1e-3, 10.0)  # a row of the thesis' table 3.1
    PHS(0.1, 1.0, 1e6, friction_step="exponential")
    assert not [w for w in recwarn if "friction" in str(w.message)]


@pytest.mark.parametrize("update_order", UPDATE_ORDERS)
def test_exponential_friction_is_stable_at_any_size(update_order, walk):
    optimizer = PHS(0.5, 1.0, 1e6, update_order, friction_step="exponential", initial_momentum=3.0)
    weights, _ = walk(optimizer, lambda w, k: w, 1.0, 100)
    assert np.abs(weights).max() < 3.0
    assert abs(weights[-1]) < 1e-6


# --- limits ---------------------------------------------------------------------------------


def damped_oscillator(times, mass, rate, stiffness, start, momentum):
    """Return the solution of m w'' + m r w' + k w = 0 below, at and above critical damping."""
    half = rate / 2
    omega = np.sqrt(complex(stiffness / mass - half**2))
    sine = times if omega == 0 else np.sin(omega * times) / omega
    inside = start * np.cos(omega * times) + (momentum / mass + half * start) * sine
    return np.real(np.exp(-half * times) * inside)


@pytest.mark.parametrize(("update_order", "friction_step"), SCHEMES)
def test_first_order_convergence_to_the_damped_oscillator(update_order, friction_step, walk):
    mass, rate, time = 0.5, 2.0, 2.0
    stiffness = np.array([4.0, 0.5, 0.2])  # underdamped, critically damped, overdamped
    sizes = 1 / np.array([16, 32, 64])
    errors = []
    for step in sizes:
        optimizer = PHS(step, mass, rate, update_order, "rate", friction_step, 0.5)
        steps = round(time / step)
        weights, _ = walk(optimizer, lambda w, k: stiffness * w, [1.0, 1.0, 1.0], steps)
        times = step * np.arange(steps + 1)
        exact = [damped_oscillator(times, mass, rate, k, 1.0, 0.5) for k in stiffness]
        errors.append(np.abs(weights - np.transpose(exact)).max(axis=0))
    for component in range(3):
        assert fitted_order(sizes, [e[component] for e in errors]) == pytest.approx(1, abs=0.12)
    assert np.max(errors[-1]) < 0.05


@pytest.mark.parametrize("form", FRICTION_FORMS)
def test_high_friction_follows_the_gradient_flow(form, walk):
    """Eq. (3.6): dw/dt = −∇L/γ, or −∇L/(mγ) if the friction is a rate."""
    mass, errors = 0.5, []
    frictions = np.array([3.0, 6.0, 9.0]) / (1 if form == "viscous" else mass)
    for friction in frictions:
        slowness = friction if form == "viscous" else mass * friction
        step = 0.5 * mass / slowness
        steps = round(slowness / step)
        optimizer = PHS(step, mass, friction, friction_form=form)
        weights, _ = walk(optimizer, lambda w, k: w, 1.0, steps)
        flow = np.exp(-step * np.arange(steps + 1) / slowness)
        errors.append(np.abs(weights - flow).max())
    # The inertia that the limit neglects has a relative size of m/γ².
    assert fitted_order(frictions, errors) == pytest.approx(-2, abs=0.25)
    assert errors[-1] < 0.01


# --- energy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("update_order", "friction_step"), SCHEMES)
def test_energy_balance_per_step_and_over_a_fixed_time(update_order, friction_step, walk):
    """Eq. (3.5): H changes by −α r ‖p‖²/m, up to α² per step and up to α over a fixed time."""
    mass, friction, stiffness, time = 0.5, 0.6, 2.0, 2.0
    sizes = 1 / np.array([8, 16, 32, 64])
    in_a_step, in_all = [], []
    for step in sizes:
        optimizer = PHS(step, mass, friction, update_order, "viscous", friction_step, 0.7)
        weights, momenta = walk(optimizer, lambda w, k: stiffness * w, 1.0, round(time / step))
        total = energy(weights, momenta, mass, stiffness)
        dissipated = step * friction / mass * momenta[:-1] ** 2 / mass
        defects = np.diff(total) + dissipated
        assert dissipated.sum() > 0.1 * total[0]
        in_a_step.append(np.abs(defects).max())
        in_all.append(np.abs(np.cumsum(defects)).max())
    assert fitted_order(sizes, in_a_step) == pytest.approx(2, abs=0.2)
    assert fitted_order(sizes, in_all) == pytest.approx(1, abs=0.2)


def test_without_friction_the_energy_oscillates_and_does_not_drift(walk):
    mass, stiffness, swings = 0.5, 2.0, []
    for step in (0.1, 0.05):
        optimizer = PHS(step, mass, friction=0.0)
        weights, momenta = walk(optimizer, lambda w, k: stiffness * w, 1.0, 200)
        total = energy(weights, momenta, mass, stiffness)
        swings.append(np.ptp(total))
        # Symplectic Euler conserves this modified energy exactly.
        modified = total - step * stiffness * weights * momenta / (2 * mass)
        assert modified == pytest.approx(modified[0], rel=2e-5)
    assert swings[1] == pytest.approx(swings[0] / 2, rel=0.05)


def test_weights_first_without_friction_gains_energy_in_every_step(walk):
    step, mass, stiffness = 0.1, 0.5, 2.0
    optimizer = PHS(step, mass, friction=0.0, update_order="weights_first")
    weights, momenta = walk(optimizer, lambda w, k: stiffness * w, 1.0, 100)
    total = energy(weights, momenta, mass, stiffness)
    assert total[1:] / total[:-1] == pytest.approx(1 + step**2 * stiffness / mass, rel=1e-5)
