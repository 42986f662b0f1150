"""A contract for all combinations of options: equal to SGD, and resumed as if uninterrupted."""

import itertools

import keras
import numpy as np
import pytest

from phs_optimizer import PHS

pytestmark = pytest.mark.any_backend

STEP, MASS, FRICTION = 0.2, 0.7, 1.1
SCHEDULES = {
    "constant": lambda rate: rate,
    "cosine": lambda rate: keras.optimizers.schedules.CosineDecay(rate, 8),
}
CLIPPINGS = ({}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5})
AVERAGES = ({}, {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3})
ACCUMULATIONS = ({}, {"gradient_accumulation_steps": 2})
OPTIONS = [
    (schedule, clipping | average | accumulation)
    for schedule, clipping, average, accumulation in itertools.product(
        SCHEDULES, CLIPPINGS, AVERAGES, ACCUMULATIONS
    )
]
STEPS = 8
GRADIENTS = [
    [np.random.default_rng((step, i)).normal(size=shape).astype("float32") for i, shape in shapes]
    for step, shapes in itertools.product(range(STEPS), [list(enumerate(((3, 2), (2,))))])
]


def weights():
    return [keras.Variable(np.ones((3, 2), "float32")), keras.Variable(np.zeros(2, "float32"))]


def walk(optimizer, variables, steps):
    for step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in GRADIENTS[step]], variables)
    return variables


def numbers(variables):
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


@pytest.mark.parametrize(("schedule", "options"), OPTIONS, ids=str)
@pytest.mark.slow_on("jax")
def test_a_loaded_optimizer_continues_as_if_it_had_not_been_saved(schedule, options):
    optimizer = PHS(SCHEDULES[schedule](STEP), MASS, FRICTION, **options)
    whole = walk(optimizer, weights(), range(STEPS))

    first = PHS(SCHEDULES[schedule](STEP), MASS, FRICTION, **options)
    variables = walk(first, weights(), range(3))
    store = {}
    first.save_own_variables(store)
    store = {key: np.array(value) for key, value in store.items()}

    second = keras.optimizers.deserialize(keras.optimizers.serialize(first))
    again = weights()
    for new, old in zip(again, variables, strict=True):
        new.assign(old.value)
    second.build(again)
    second.load_own_variables(store)
    walk(second, again, range(3, STEPS))
    for ours, theirs in zip(numbers(again), numbers(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("options", [o for s, o in OPTIONS if s == "constant"], ids=str)
def test_every_option_acts_as_it_does_on_sgd_with_momentum(options):
    sgd = keras.optimizers.SGD(STEP**2 / MASS, momentum=1 - STEP * FRICTION / MASS, **options)
    expected = numbers(walk(sgd, weights(), range(STEPS)))
    found = numbers(walk(PHS(STEP, MASS, FRICTION, **options), weights(), range(STEPS)))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
