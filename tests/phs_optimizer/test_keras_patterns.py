"""The behavior that Keras tests on its own optimizers, tested on PHS with every backend.

The tests are our own, with values computed by hand for PHS. ``PHS(1.0)`` forgets its momentum in
every step, so it is plain gradient descent with a step size of 1.

Behavior tested in Keras, and where it is tested here:

- iterations, empty gradients, constraints, static loss scaling, moving average by hand and in fit,
  set_weights, accumulation by hand and with weight decay, weights that their gradient overwrites,
  callable rates and schedules instead of a variable, automatic names, ``tf.Variable``: this file.
- loss scaling that shrinks, grows, and skips a step: this file; in fit:
  ``test_optimizer_keras.py``.
- several optimizers of one model: ``test_several_optimizers.py``.
- config, single steps, clipping, weight decay, sparse gradients, pickling, ``tf.train.Checkpoint``:
  ``test_optimizer_keras.py``; a golden run: ``test_optimizer_math.py``, against SGD.

Not applicable:

- ``optimizers.get("phs")``: lower-case names are reserved for Keras' own optimizers. A registered
  class is found by its config, as in ``test_config_round_trip``.
- Nesterov and the range of ``momentum``: PHS has no such argument; from_sgd's range is tested.
- The order of sparse rows: no variable of PHS depends on it; equality with dense ones is tested.
- ``LossScaleOptimizer``'s own arguments and old configs: they involve no code of PHS.
"""

import keras
import numpy as np
import pytest

from phs_optimizer import PHS

pytestmark = pytest.mark.any_backend
BACKEND = keras.backend.backend()


def variable(*values):
    return keras.Variable(np.array(values, "float32"))


def tensor(*values):
    return keras.ops.convert_to_tensor(np.array(values, "float32"))


def numbers(value):
    return np.array(keras.ops.convert_to_numpy(value)).tolist()


def test_iterations_count_steps_and_accumulated_steps_once():
    optimizer, weight = PHS(), variable(1.0)
    for count in range(3):
        assert numbers(optimizer.iterations) == count
        optimizer.apply_gradients([(tensor(1.0), weight)])
    accumulating, weight = PHS(gradient_accumulation_steps=2), variable(1.0)
    for count in (0, 0, 1, 1):
        assert numbers(accumulating.iterations) == count
        accumulating.apply_gradients([(tensor(1.0), weight)])


def test_one_missing_gradient_is_a_warning_and_no_gradients_an_error():
    optimizer, moved, stays = PHS(1.0), variable(3.0), variable(5.0)
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        optimizer.apply_gradients([(None, stays), (tensor(1.0), moved)])
    assert (numbers(moved), numbers(stays)) == ([2.0], [5.0])
    assert [numbers(p) for p in optimizer.momenta] == [[0.0], [-1.0]]
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply_gradients([(None, stays), (None, moved)])


def test_a_constraint_holds_after_a_step():
    weight = variable(-1.0, 2.0)
    weight.constraint = keras.constraints.NonNeg()
    PHS(1.0).apply_gradients([(tensor(0.0, 5.0), weight)])
    assert numbers(weight) == [0.0, 0.0]


def test_a_static_loss_scale_is_divided_out():
    optimizer, weight = PHS(1.0, loss_scale_factor=1024.0), variable(1.0, 2.0)
    assert optimizer.scale_loss(1.0) == 1024.0
    optimizer.apply_gradients([(tensor(1024.0, 2048.0), weight)])
    assert numbers(weight) == [0.0, 0.0]


def test_the_moving_average_of_weights_by_hand():
    optimizer = PHS(1.0, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    weight = variable(5.0)
    # First 4; then 0.9 · 4 + 0.1 · 3; then 0.9 · 3.9 + 0.1 · 2, which replaces the weight.
    for expected in (4.0, 3.0, 3.71):
        optimizer.apply_gradients([(tensor(1.0), weight)])
        assert numbers(weight) == pytest.approx([expected])


def test_fit_ends_with_the_moving_average():
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    # αγ/m = 1 and α²/m = 0.1: gradient descent on w², from 1 to 0.8 and 0.64.
    model.compile(PHS(0.1, 0.1, 1.0, use_ema=True, ema_momentum=0.9), "mse")
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), epochs=2, verbose=0)
    assert model.get_weights()[0].item() == pytest.approx(0.9 * 0.8 + 0.1 * 0.64)


def test_the_variables_of_one_optimizer_can_be_set_in_another():
    weight = variable(1.0, 2.0)
    first, second = PHS(), PHS()
    first.apply_gradients([(tensor(1.0, -1.0), weight)])
    with pytest.raises(ValueError, match="not yet been built"):
        second.set_weights(first.variables)
    second.build([weight])
    second.set_weights(first.variables)
    assert [numbers(v) for v in second.variables] == [numbers(v) for v in first.variables]


def test_accumulation_waits_and_then_uses_the_mean_gradient():
    optimizer, weight = PHS(1.0, gradient_accumulation_steps=3), variable(1.0)
    for slope, expected in ((1.0, 1.0), (2.0, 1.0), (3.0, -1.0), (9.0, -1.0)):
        optimizer.apply_gradients([(tensor(slope), weight)])
        assert numbers(weight) == [expected]


def test_weight_decay_acts_once_per_accumulated_update():
    one, many = variable(0.9, 0.5), variable(0.9, 0.5)
    plain = PHS(weight_decay=0.05)
    accumulating = PHS(weight_decay=0.05, gradient_accumulation_steps=3)
    random = np.random.default_rng(0)
    for _ in range(5):
        slopes = random.normal(size=(3, 2))
        plain.apply_gradients([(tensor(*slopes.mean(0)), one)])
        for slope in slopes:
            accumulating.apply_gradients([(tensor(*slope), many)])
    assert numbers(many) == pytest.approx(numbers(one), rel=1e-5)


@pytest.mark.parametrize("accumulation", [None, 2])
def test_a_weight_that_its_gradient_overwrites_has_no_momentum(accumulation):
    """Float8 scales are such weights; when accumulating, the largest gradient counts."""
    scale, weight = variable(1.0), variable(1.0)
    scale.overwrite_with_gradient = True
    optimizer = PHS(1.0, gradient_accumulation_steps=accumulation)
    for slope in (4.0, 3.0)[: accumulation or 1]:
        optimizer.apply_gradients([(tensor(slope), scale), (tensor(1.0), weight)])
    assert (numbers(scale), numbers(weight)) == ([4.0], [0.0])
    assert optimizer.momenta[0] is None
    optimizer.reset_momenta()
    assert numbers(optimizer.momenta[1]) == [0.0]


def test_a_schedule_or_a_callable_replaces_the_variable():
    optimizer = PHS(0.1)
    before = len(optimizer.variables)
    optimizer.learning_rate = keras.optimizers.schedules.PolynomialDecay(0.1, 4)
    assert len(optimizer.variables) == before - 1
    optimizer.learning_rate = lambda: 0.05
    assert optimizer.time_step() == 0.05


def test_default_names_are_numbered_as_in_keras():
    keras.backend.clear_session()
    named = [PHS(), PHS(), PHS(name="body")]
    assert [optimizer.name for optimizer in named] == ["phs", "phs_1", "body"]
    again = [keras.optimizers.deserialize(keras.optimizers.serialize(o)) for o in named]
    assert [optimizer.name for optimizer in again] == ["phs", "phs_1", "body"]


def scaled_steps(scaled, weight, slopes):
    """Take steps with loss scaling, on JAX without side effects."""
    for slope in slopes:
        if BACKEND != "jax":
            scaled.apply([tensor(slope)], [weight])
            continue
        state = [v.value for v in scaled.variables]
        (new,), state = scaled.stateless_apply(state, [tensor(slope)], [weight.value])
        for owner, value in zip([weight, *scaled.variables], [new, *state], strict=True):
            owner.assign(value)


def test_loss_scaling_halves_the_scale_and_skips_or_doubles_it_after_some_steps():
    weight, inner = variable(1.0), PHS(1.0)
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0, dynamic_growth_steps=2)
    scaled.build([weight])
    scaled_steps(scaled, weight, [np.inf])
    assert (numbers(scaled.dynamic_scale), numbers(weight)) == (2.0, [1.0])
    assert numbers(inner.momenta[0]) == [0.0]
    scaled_steps(scaled, weight, [1.0, 1.0])
    assert (numbers(scaled.dynamic_scale), numbers(weight)) == (4.0, [0.0])
    assert numbers(scaled.iterations) == 2  # the skipped step does not count


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a variable of TensorFlow")
def test_variables_of_tensorflow_and_of_keras_train_together():
    import tensorflow as tf

    ours, theirs = variable(1.0), tf.Variable([2.0])
    optimizer = PHS(1.0)
    optimizer.apply_gradients([(tensor(1.0), ours), (tensor(1.0), theirs)])
    assert (numbers(ours), theirs.numpy().tolist()) == ([0.0], [1.0])
    low = tf.Variable([2.0], dtype=tf.bfloat16)
    with pytest.warns(UserWarning, match="Weights in bfloat16"):
        PHS(1.0).apply_gradients([(tf.constant([1.0], tf.bfloat16), low)])
    assert float(low[0]) == 1.0
