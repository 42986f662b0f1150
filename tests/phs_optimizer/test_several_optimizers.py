"""Callbacks in models with several optimizers, and when momenta are reset."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking

BACKEND = keras.backend.backend()


def network():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4, "tanh", name="body"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((3,)), *layers])


def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 3))
    return x, x @ [[1.0], [2.0], [-1.0]]


def fit(model, *callbacks, **options):
    options = {"batch_size": 8, "verbose": 0, "shuffle": False, "epochs": 6} | options
    return model.fit(*data(), callbacks=list(callbacks), **options)


def value(variable):
    return float(keras.ops.convert_to_numpy(variable))


def momenta(optimizer):
    return [np.array(keras.ops.convert_to_numpy(p)) for p in optimizer.momenta]


def braking(target=0.3, **options):
    return GoalOrientedBraking(target, **({"average_steps": 5, "verbose": 0} | options))


@pytest.mark.any_backend
def test_the_only_phs_among_several_optimizers_is_braked_and_logged():
    body = PHS(0.1, 1.0, 0.5)
    mapped = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.01), {".*body/.*": body})
    model, callback, energy = network(), braking(), EnergyLogger()
    model.compile(keras.optimizers.MultiOptimizer(mapped), "mse")
    fit(model, callback, energy)
    assert [event["action"] for event in callback.events] == ["brake"]
    assert value(body.friction) == 5.0
    assert len(body.momenta) == 2  # kernel and bias of the body
    assert energy.records[-1]["friction"] == 5.0
    assert energy.records[-1]["step"] == 48


@pytest.mark.any_backend
def test_one_of_several_phs_optimizers_is_braked_if_it_is_passed():
    body, head = PHS(0.1, 1.0, 0.5, name="body"), PHS(0.1, 1.0, 0.5, name="head")
    model = network()
    mapped = keras.optimizers.OptimizerMap(head, {".*body/.*": body})
    model.compile(keras.optimizers.MultiOptimizer(mapped), "mse")
    for callback in (braking(), EnergyLogger()):
        with pytest.raises(
            ValueError, match=r"has 2 PHS optimizers \(body, head\): pass one as optimizer"
        ):
            fit(model, callback)
    fit(model, braking(optimizer=head), energy := EnergyLogger(optimizer=head))
    assert (value(body.friction), value(head.friction)) == (0.5, 5.0)
    assert energy.records[-1]["friction"] == 5.0


class Twins(keras.Model):
    """Two networks, each with its own optimizer, in a custom training step as in a GAN."""

    def __init__(self, optimizers):
        super().__init__()
        self.networks = [network(), network()]
        self.both = optimizers
        for optimizer, part in zip(optimizers, self.networks, strict=True):
            optimizer.build(part.trainable_variables)

    def call(self, x):
        return self.networks[0](x) + self.networks[1](x)

    def train_step(self, batch):
        x, y = batch
        losses = []
        for optimizer, part in zip(self.both, self.networks, strict=True):
            losses.append(STEPS[BACKEND](optimizer, part, x, y))
        return {"first": losses[0], "second": losses[1]}


def tensorflow_step(optimizer, part, x, y):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.ops.mean((part(x) - y) ** 2)
    optimizer.apply(tape.gradient(loss, part.trainable_variables), part.trainable_variables)
    return loss


def torch_step(optimizer, part, x, y):
    part.zero_grad()
    loss = keras.ops.mean((part(x) - y) ** 2)
    loss.backward()
    optimizer.apply([v.value.grad for v in part.trainable_variables], part.trainable_variables)
    return loss.detach()


STEPS = {"tensorflow": tensorflow_step, "torch": torch_step}


@pytest.mark.any_backend
@pytest.mark.skipif(BACKEND == "jax", reason="a train_step of JAX has no side effects")
def test_a_model_that_keeps_its_optimizers_itself_needs_the_one_to_brake():
    first, second = PHS(0.05, 1.0, 0.5), PHS(0.05, 1.0, 0.5)
    model = Twins([first, second])
    model.compile(jit_compile=False, run_eagerly=BACKEND == "torch")
    with pytest.raises(
        ValueError,
        match="keeps its optimizers itself, pass the PHS to GoalOrientedBraking as optimizer",
    ):
        fit(model, braking())
    callback = braking(optimizer=second, monitor="second")
    fit(model, callback, EnergyLogger(optimizer=first, monitor="first"))
    assert (value(first.friction), value(second.friction)) == (0.5, 5.0)
    assert [event["action"] for event in callback.events] == ["brake"]
    with pytest.raises(ValueError, match=r"'mine' of GoalO.* no variables yet: call optimizer.b"):
        fit(model, braking(optimizer=PHS(name="mine")))


# --- momenta at the end -----------------------------------------------------------------------


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("options", "at_rest"),
    [
        ({}, False),
        ({"restore_best_weights": True}, True),
        ({"restore_best_weights": True, "reset_momenta": False}, False),
        ({"reset_momenta": True}, True),
    ],
    ids=str,
)
def test_restored_weights_have_zero_momentum(options, at_rest):
    model = network()
    model.compile(PHS(0.1, 1.0, 0.5), "mse")
    fit(model, braking(**options), epochs=2)
    assert all(np.all(p == 0) for p in momenta(model.optimizer)) == at_rest


@pytest.mark.any_backend
@pytest.mark.parametrize("stopping_first", [True, False])
def test_a_training_after_early_stopping_starts_at_the_best_weights_with_zero_momentum(
    stopping_first,
):
    model = network()
    model.compile(PHS(0.1, 1.0, 0.2), "mse")
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    order = [stopping, braking(1e-9, target_is="loss", reset_momenta=True)]
    fit(model, *(order if stopping_first else order[::-1]), epochs=4)
    assert all(np.all(p == 0) for p in momenta(model.optimizer))
    for ours, best in zip(model.get_weights(), stopping.best_weights, strict=True):
        np.testing.assert_array_equal(ours, best)


# --- a program that does not import the package ---------------------------------------------------

ELSEWHERE = """
import sys, keras, numpy
try:
    keras.models.load_model(sys.argv[1])
except TypeError as error:
    print(error)
keras.models.load_model(sys.argv[1], compile=False).predict(numpy.ones((1, 3)), verbose=0)
print("answers")
import phs_optimizer
print("friction", float(keras.models.load_model(sys.argv[1]).optimizer.friction))
"""


@pytest.mark.slow
def test_the_error_of_a_program_that_does_not_import_the_package_says_what_to_do(tmp_path):
    model = network()
    model.compile(PHS(friction=3.0), "mse")
    model.save(tmp_path / "model.keras")
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Could not locate class 'PHS'" in done.stdout
    assert "put `import phs_optimizer` before load_model()" in done.stdout
    assert "friction 3.0" in done.stdout
    assert "answers" in done.stdout
