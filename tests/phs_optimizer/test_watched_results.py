"""What braking averages and watches: losses of steps, metrics, and numbers of other callbacks."""

import keras
import numpy as np
import pytest

from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking

BACKEND = keras.backend.backend()
X, Y = np.ones((64, 1)), np.zeros((64, 1))


def parabola(model=keras.Sequential, optimizer=None, **options):
    """Return a model with one weight, 1, and the loss w²."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    made = model([keras.Input((1,)), dense])
    made.compile(optimizer or PHS(0.05, 1.0, 6.0), "mse", **options)
    return made


def fit(model, *callbacks, epochs=6, **options):
    options = {"batch_size": 4, "verbose": 0, "shuffle": False} | options
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


class OwnLosses(keras.Sequential):
    """A model whose training step returns the loss of its batch, here 1.2 and 0.8 in turns."""

    def train_step(self, batch):
        self.turn = not getattr(self, "turn", False)
        return {"loss": 1.2 if self.turn else 0.8}


@pytest.mark.any_backend
@pytest.mark.skipif(BACKEND == "jax", reason="a train_step of JAX has no side effects")
def test_losses_of_single_steps_are_not_taken_for_running_means():
    """They are never below 0.8. As differences of means they would be, ever more in an epoch."""
    model = parabola(OwnLosses, run_eagerly=True)
    braking = GoalOrientedBraking(0.5, "loss", factor=3, average_steps=4, verbose=0)
    energy = EnergyLogger()
    fit(model, braking, energy)
    assert braking.events == []
    averages = [average for _, average in braking.trace]
    assert 0.8 < min(averages) and max(averages) < 1.2001
    assert [record["potential"] for record in energy.records] == pytest.approx([1.0] * 6)


@pytest.mark.any_backend
def test_running_means_are_still_taken_apart():
    model = parabola()
    braking = GoalOrientedBraking(0.2, "loss", factor=3, average_steps=5, verbose=0)
    fit(model, braking)
    (event,) = braking.events
    assert event["action"] == "brake" and 0.1 < event["loss"] <= 0.2


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "metric", [keras.metrics.RootMeanSquaredError(), keras.metrics.FalseNegatives()]
)
def test_a_metric_that_is_no_mean_over_samples_is_refused(metric):
    braking = GoalOrientedBraking(
        0.2, "loss", factor=3, monitor=metric.name, average_steps=5, verbose=0
    )
    with pytest.raises(ValueError, match=f"monitor='{metric.name}' is a .* not a mean over"):
        fit(parabola(metrics=[metric]), braking)


class Logged(keras.callbacks.Callback):
    """A callback that logs a result of its own, as a double."""

    def on_epoch_end(self, epoch, logs):
        logs["val_balanced"] = 0.9


@pytest.mark.any_backend
def test_the_same_number_in_every_epoch_is_no_improvement():
    """0.9 as a double is slightly more than the float32 that the state of braking holds."""
    braking = GoalOrientedBraking(
        "auto", patience=2, validation="val_balanced", validation_mode="max", verbose=0
    )
    history = fit(parabola(), Logged(), braking, epochs=20).history
    assert [event["action"] for event in braking.events] == ["brake", "brake", "stop"]
    assert len(history["loss"]) == 7


@pytest.mark.any_backend
def test_each_of_several_optimizers_has_its_friction_in_the_history():
    model = parabola(optimizer=PHS(0.05, 1.0, 6.0, name="mine"))
    given = GoalOrientedBraking(
        0.0, "loss", factor=3, average_steps=5, verbose=0, optimizer=model.optimizer
    )
    history = fit(model, given, epochs=1).history
    assert history["mine_friction"] == [6.0] and "friction" not in history


class Undo(keras.callbacks.Callback):
    """Restore the optimizer, as BackupAndRestore does, before braking reads its state."""

    def __init__(self, variables):
        super().__init__()
        self.variables = variables

    def on_train_begin(self, logs=None):
        for variable, before in zip(self.model.optimizer.variables, self.variables, strict=True):
            variable.assign(before)


class Longer(keras.callbacks.Callback):
    """Triple the time step, which no check foresees."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.3


@pytest.mark.any_backend
def test_a_friction_that_was_held_back_is_forgotten_if_its_braking_is_undone():
    model = parabola(optimizer=PHS(0.1, 1.0, 2.0))
    optimizer = model.optimizer
    braking = GoalOrientedBraking(0.02, "loss", factor=8, average_steps=5, verbose=0)
    fit(model, braking, epochs=1)
    assert braking.events == []
    before = [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]
    with pytest.warns(UserWarning, match="would diverge at friction 16"):
        fit(model, braking, Longer(), epochs=2, initial_epoch=1)
    assert [event["action"] for event in braking.events] == ["brake"]
    history = fit(model, Undo(before), braking, epochs=2, initial_epoch=1).history
    assert [event["friction"] for event in braking.events] == [16]
    assert history["friction"] == [16]
