"""PHS as a Keras optimizer: every argument, every way to train, and saving."""

import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

from phs_optimizer import PHS
from phs_optimizer.optimizer import UPDATE_ORDERS

BACKEND = keras.backend.backend()
STEP, MASS, FRICTION = 0.2, 0.7, 1.1


def sgd_twin(**arguments):
    """Return the Keras optimizer that is equal to the default PHS(STEP, MASS, FRICTION)."""
    return keras.optimizers.SGD(STEP**2 / MASS, momentum=1 - STEP * FRICTION / MASS, **arguments)


def data(samples=64):
    x = np.random.default_rng(0).normal(size=(samples, 6)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


def network():
    """Return the same small network with the same weights in every call."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(5, "tanh"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *layers])


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model, epochs=3, initial_epoch=0, batch_size=16, **arguments):
    x, y = data()
    rest = {"shuffle": False, "verbose": 0, "batch_size": batch_size, **arguments}
    return model.fit(x, y, epochs=epochs, initial_epoch=initial_epoch, **rest)


def trained(optimizer, batch_size=16, callbacks=(), **compile_arguments):
    """Return the weights of the network after three epochs."""
    model = network()
    model.compile(optimizer, LOSS, **compile_arguments)
    fit(model, batch_size=batch_size, callbacks=list(callbacks))
    return model.get_weights()


def assert_close(found, expected, tolerance=1e-5):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def differs(some, others):
    return any(not np.allclose(a, b, atol=1e-4) for a, b in zip(some, others, strict=True))


def numpy_of(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


# --- arguments ------------------------------------------------------------------------------


def after_seven_steps(optimizer):
    random = np.random.default_rng(3)
    weights = [keras.Variable(random.normal(size=s).astype("float32")) for s in ((3, 2), (2,))]
    for _ in range(7):
        slopes = [random.normal(size=w.shape).astype("float32") for w in weights]
        optimizer.apply([keras.ops.convert_to_tensor(s) for s in slopes], weights)
    optimizer.finalize_variable_values(weights)
    return numpy_of(weights)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "argument",
    [
        {"clipnorm": 0.5},
        {"clipvalue": 0.3},
        {"global_clipnorm": 0.5},
        {"use_ema": True, "ema_momentum": 0.8},
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
        {"loss_scale_factor": 8.0},
        {"gradient_accumulation_steps": 3},
        {"weight_decay": 0.1},
    ],
    ids=lambda argument: list(argument)[-1],
)
def test_common_arguments_have_the_same_effect_as_in_sgd(argument):
    found = after_seven_steps(PHS(STEP, MASS, FRICTION, **argument))
    # Weight decay is multiplied by α here, and by the learning rate α²/m in SGD.
    if "weight_decay" in argument:
        argument = {"weight_decay": argument["weight_decay"] * MASS / STEP}
    assert_close(found, after_seven_steps(sgd_twin(**argument)), 1e-6)
    assert differs(found, after_seven_steps(PHS(STEP, MASS, FRICTION)))


@pytest.mark.any_backend
def test_weight_decay_by_hand_and_with_excluded_weights():
    decayed, spared = keras.Variable(2.0, name="kernel"), keras.Variable(2.0, name="bias")
    optimizer = PHS(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    nothing = keras.ops.zeros(())
    optimizer.apply([nothing, nothing], [decayed, spared])
    assert numpy_of([decayed, spared]) == pytest.approx([2.0 - 2.0 * 0.1 * 0.5, 2.0])


@pytest.mark.any_backend
def test_a_learning_rate_can_be_a_whole_number_or_a_callable():
    for learning_rate in (1, np.float32(1), lambda: 1.0):
        weight = keras.Variable([3.0])
        PHS(learning_rate).apply([keras.ops.convert_to_tensor([2.0])], [weight])
        assert numpy_of([weight])[0] == pytest.approx([1.0])


@pytest.mark.any_backend
def test_accumulated_gradients_equal_those_of_the_larger_batch():
    small = trained(PHS(STEP, MASS, FRICTION, gradient_accumulation_steps=2), batch_size=8)
    large = trained(PHS(STEP, MASS, FRICTION), batch_size=16)
    assert_close(small, large)


@pytest.mark.any_backend
def test_reduce_lr_on_plateau_shortens_the_time_step():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(PHS(STEP, MASS, FRICTION), "mse")
    w = float(model.get_weights()[0][0, 0])
    # No improvement is ever this large, so α is halved after every epoch but the first.
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), epochs=5, verbose=0, callbacks=[plateau])
    p = 0.0
    for step in (STEP, STEP, STEP / 2, STEP / 4, STEP / 8):
        p = (1 - step * FRICTION / MASS) * p - step * 2 * w
        w += step / MASS * p
    assert model.get_weights()[0][0, 0] == pytest.approx(w, rel=1e-5)


# --- ways to train --------------------------------------------------------------------------

SETTINGS = [{"run_eagerly": True}]
if BACKEND != "torch":  # which rejects one of them and takes half a minute to compile the other
    SETTINGS += [{"steps_per_execution": 3}, {"jit_compile": True}]


@pytest.mark.any_backend
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: next(iter(setting)))
@pytest.mark.parametrize("update_order", UPDATE_ORDERS)
def test_eager_compiled_and_multi_step_execution_agree(setting, update_order):
    arguments = (STEP, MASS, FRICTION, update_order)
    plain = trained(PHS(*arguments), jit_compile=False)
    assert_close(trained(PHS(*arguments), **setting), plain)


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def mixed_precision(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.any_backend
def test_mixed_precision_trains_as_sgd_does(mixed_precision):
    model = network()
    model.compile(PHS(STEP, MASS, FRICTION), LOSS)
    fit(model)
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert (inner is not model.optimizer) == (mixed_precision == "mixed_float16")
    assert {str(keras.backend.standardize_dtype(p.dtype)) for p in inner.momenta} == {"float32"}
    assert_close(model.get_weights(), trained(sgd_twin()), 2e-2)
    assert differs(model.get_weights(), network().get_weights())


@pytest.mark.any_backend
def test_loss_scaling_skips_a_step_that_overflowed():
    weight = keras.Variable([1.0])
    inner = PHS(0.5, mass=1.0, friction=1.0, initial_momentum=1.0)
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
    scaled.build([weight])

    def step(gradient):
        slope = keras.ops.convert_to_tensor([gradient], "float32")
        if BACKEND != "jax":  # whose control flow has no side effects
            return scaled.apply([slope], [weight])
        state = [v.value for v in scaled.variables]
        (new,), state = scaled.stateless_apply(state, [slope], [weight.value])
        for variable, value in zip([weight, *scaled.variables], [new, *state], strict=True):
            variable.assign(value)

    step(np.inf)
    assert numpy_of([weight, inner.momenta[0]]) == [[1.0], [1.0]]
    step(4.0 * 2.0)  # the scale is now 4
    assert numpy_of([weight, inner.momenta[0]]) == [[0.75], [-0.5]]  # p = ½·1 − ½·2


@pytest.mark.any_backend
def test_frozen_layers_stay_fixed_and_train_after_compiling_again():
    model = network()
    model.layers[0].trainable = False
    model.compile(PHS(STEP, MASS, FRICTION), LOSS)
    before = model.get_weights()
    fit(model)
    assert len(model.optimizer.momenta) == 2
    assert not differs(model.get_weights()[:2], before[:2])
    assert differs(model.get_weights()[2:], before[2:])
    model.layers[0].trainable = True
    model.compile(PHS(STEP, MASS, FRICTION), LOSS)
    fit(model)
    assert differs(model.get_weights()[:2], before[:2])


@pytest.mark.any_backend
@pytest.mark.parametrize("update_order", UPDATE_ORDERS)
def test_a_sparse_gradient_of_an_embedding_acts_as_the_dense_one(update_order):
    words = np.random.default_rng(0).integers(0, 5, (64, 1))  # word 5 of 6 does not occur
    ends = []
    for inputs in (words, np.eye(6, dtype="float32")[words[:, 0]]):
        table = (
            [keras.Input((1,), dtype="int32"), keras.layers.Embedding(6, 3), keras.layers.Flatten()]
            if inputs is words
            else [keras.Input((6,)), keras.layers.Dense(3, use_bias=False)]
        )
        model = keras.Sequential([*table, keras.layers.Dense(5, use_bias=False)])
        random = np.random.default_rng(1)
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        model.compile(PHS(STEP, MASS, FRICTION, update_order), LOSS)
        model.fit(inputs, words[:, 0], batch_size=8, epochs=2, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    assert_close(*ends)


@pytest.mark.any_backend
def test_shared_layers_have_one_momentum():
    x, y = data()
    ends = []
    for optimizer in (PHS(STEP, MASS, FRICTION), sgd_twin()):
        keras.utils.set_random_seed(2)
        left, right = keras.Input((6,)), keras.Input((6,))
        shared = keras.layers.Dense(4, "tanh")
        both = keras.layers.Concatenate()([shared(left), shared(right)])
        model = keras.Model([left, right], keras.layers.Dense(3)(both))
        model.compile(optimizer, LOSS)
        model.fit([x, x[::-1]], y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        ends.append(model.get_weights())
        if isinstance(optimizer, PHS):
            assert len(optimizer.momenta) == len(model.trainable_variables) == 4
    assert_close(*ends)


@pytest.mark.any_backend
def test_a_custom_training_loop_takes_the_same_steps_as_fit():
    x, y = data()
    model, optimizer = network(), PHS(STEP, MASS, FRICTION, initial_momentum=0.1)
    optimizer.build(model.trainable_variables)
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    OWN_LOOPS[BACKEND](model, optimizer, 3 * batches)
    assert_close(model.get_weights(), trained(PHS(STEP, MASS, FRICTION, initial_momentum=0.1)))


def tensorflow_loop(model, optimizer, batches):
    import tensorflow as tf

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for x, y in batches:
        step(x, y)


def torch_loop(model, optimizer, batches):
    for x, y in batches:
        model.zero_grad()
        LOSS(y, model(x)).backward()
        optimizer.apply([v.value.grad for v in model.trainable_variables])


def jax_loop(model, optimizer, batches):
    import jax

    def loss(weights, x, y):
        return LOSS(y, model.stateless_call(weights, [], x)[0])

    @jax.jit
    def step(weights, state, x, y):
        return optimizer.stateless_apply(state, jax.grad(loss)(weights, x, y), weights)

    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    for x, y in batches:
        weights, state = step(weights, state, x, y)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)


OWN_LOOPS = {"tensorflow": tensorflow_loop, "torch": torch_loop, "jax": jax_loop}


@pytest.mark.any_backend
@pytest.mark.skipif(BACKEND != "jax", reason="jax.vmap is JAX's")
def test_trainings_under_vmap_equal_separate_trainings():
    import jax

    optimizer = PHS(STEP, MASS, FRICTION, "weights_first", "rate", "exponential", 0.3)
    weight = keras.Variable(np.zeros(2))
    optimizer.build([weight])
    starts = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    fresh = [v.value for v in optimizer.variables]

    def step(w, state):
        (w,), state = optimizer.stateless_apply(state, [2 * w], [w])
        return w, state

    many = starts, [np.repeat(np.array(v)[None], 4, axis=0) for v in fresh]
    for _ in range(5):
        many = jax.vmap(step)(*many)
    for start, end in zip(starts, many[0], strict=True):
        one = start, fresh
        for _ in range(5):
            one = step(*one)
        np.testing.assert_allclose(end, one[0], rtol=1e-6)


MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
from phs_optimizer import PHS

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
y = x[:, :3].argmax(axis=1)


def train():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(5, "tanh"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((6,)), *layers])
    # Clipped far below its norm, for all parts of a batch together.
    optimizer = PHS(0.2, 0.7, 0.5, initial_momentum=0.1, weight_decay=0.01, clipnorm=0.02)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    for friction in (0.5, 2.0):  # as if it had braked in between
        optimizer.friction = friction
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model.get_weights() + [np.array(v) for v in optimizer.variables]


one = train()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    two = train()
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
with strategy.scope():
    try:
        PHS(gradient_accumulation_steps=2).build([keras.Variable([1.0])])
    except ValueError as error:
        assert "larger batch" in str(error)
    else:
        raise AssertionError("accumulation was not refused")
print("the same:", len(one))  # 4 weights, their momenta and 4 numbers
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_two_mirrored_replicas_train_like_one_device():
    """Run in a separate process: logical devices must be set up before TensorFlow starts."""
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["the", "same:", "12"]


# --- saving ---------------------------------------------------------------------------


@pytest.mark.any_backend
def test_memory_equals_sgd_with_momentum_plus_two_small_variables():
    model = network()
    ours, theirs = PHS(), sgd_twin()
    for optimizer in (ours, theirs):
        optimizer.build(model.trainable_variables)
    assert len(ours.variables) == len(theirs.variables) + 2
    sizes = [sum(int(np.prod(v.shape)) for v in o.variables) for o in (ours, theirs)]
    assert sizes[0] == sizes[1] + 1 + ours.braking_state.shape[0]
    assert ours.braking_state.shape[0] < 20


ELSEWHERE = {
    "learning_rate": 0.25,
    "mass": 0.5,
    "friction": 0.75,
    "update_order": "weights_first",
    "friction_form": "rate",
    "friction_step": "exponential",
    "initial_momentum": keras.initializers.RandomNormal(stddev=0.5, seed=4),
    "step_schedule": keras.optimizers.schedules.PolynomialDecay(2.0, 5),
    "weight_decay": 0.01,
    "clipnorm": 2.0,
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 5,
    "loss_scale_factor": 4.0,
    "gradient_accumulation_steps": 2,
    "name": "body",
}


@pytest.mark.any_backend
@pytest.mark.parametrize("arguments", [{}, ELSEWHERE], ids=["default", "elsewhere"])
def test_config_round_trip(arguments):
    optimizer = PHS(**arguments)
    config = optimizer.get_config()
    plain = {k: v for k, v in arguments.items() if k not in ("initial_momentum", "step_schedule")}
    assert {k: config[k] for k in plain} == plain
    copies = (
        PHS.from_config(optimizer.get_config()),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
        pickle.loads(pickle.dumps(optimizer)),
    )
    for copy in copies:
        assert copy.get_config() == config
    assert_close(after_seven_steps(copies[0]), after_seven_steps(optimizer))


@pytest.mark.any_backend
def test_config_keeps_a_schedule_and_the_initial_friction():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = PHS(schedule, friction=2.0)
    optimizer.build([keras.Variable([1.0])])
    optimizer.friction = 3.0
    copy = PHS.from_config(optimizer.get_config())
    assert copy.friction == 2.0
    assert copy.get_config()["learning_rate"]["config"] == schedule.get_config()
    early = PHS(friction=2.0)
    early.friction = 3.0  # before the variable exists, this is the initial friction
    assert early.get_config()["friction"] == 3.0


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "variant", [{}, {"update_order": "weights_first", "friction_step": "exponential"}]
)
def test_a_saved_model_resumes_as_if_it_had_not_been_interrupted(variant, tmp_path):
    model = network()
    model.compile(PHS(STEP, MASS, 0.5, initial_momentum=0.2, **variant), LOSS)
    fit(model, epochs=2)
    model.optimizer.friction = 1.5  # as a braking callback does
    model.optimizer.braking_state.assign(np.arange(13.0))
    model.save(tmp_path / "middle.keras")
    fit(model, epochs=4, initial_epoch=2)

    loaded = keras.saving.load_model(tmp_path / "middle.keras")
    assert float(keras.ops.convert_to_numpy(loaded.optimizer.friction)) == 1.5
    np.testing.assert_array_equal(numpy_of([loaded.optimizer.braking_state])[0], np.arange(13.0))
    assert loaded.optimizer.initial_friction == 0.5
    fit(loaded, epochs=4, initial_epoch=2)
    assert_close(loaded.get_weights(), model.get_weights(), 1e-6)
    assert_close(numpy_of(loaded.optimizer.variables), numpy_of(model.optimizer.variables), 1e-6)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.train.Checkpoint is TensorFlow's")
def test_a_tensorflow_checkpoint_has_momenta_and_friction(tmp_path):
    import tensorflow as tf

    model = network()
    model.compile(PHS(STEP, MASS, FRICTION), LOSS)
    fit(model, epochs=1)
    checkpoint = tf.train.Checkpoint(model, optimizer=model.optimizer)
    path = checkpoint.save(str(tmp_path / "middle"))
    saved = numpy_of(model.optimizer.variables)
    model.optimizer.friction = 1.5
    fit(model, epochs=1)
    assert differs(numpy_of(model.optimizer.variables), saved)
    checkpoint.restore(path)
    assert_close(numpy_of(model.optimizer.variables), saved, 0)


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["learning_rate", "mass", "friction"])
@pytest.mark.parametrize(
    "value", [-1.0, float("nan"), float("inf"), 10**400, True, "1", None, 1j, [1.0]]
)
def test_numbers_out_of_range_are_refused(name, value):
    allowed = "a number >= 0" if name == "friction" else "a number > 0"
    with pytest.raises(ValueError) as error:
        PHS(**{name: value})
    assert str(error.value) == f"{name} must be {allowed}, not {value!r}"


@pytest.mark.any_backend
def test_zero_is_allowed_as_friction_but_not_as_mass_or_time_step():
    assert PHS(friction=0).friction == 0
    for name in ("mass", "learning_rate"):
        with pytest.raises(ValueError, match=f"{name} must be a number > 0, not 0"):
            PHS(**{name: 0})


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("update_order", "p_first", "'momentum_first', 'weights_first'"),
        ("friction_form", "linear", "'viscous', 'rate'"),
        ("friction_form", None, "'viscous', 'rate'"),
        ("friction_step", ["explicit"], "'explicit', 'exponential'"),
    ],
)
def test_an_error_about_a_choice_lists_the_choices(name, value, allowed):
    with pytest.raises(ValueError) as error:
        PHS(**{name: value})
    assert str(error.value) == f"{name} must be one of {allowed}, not {value!r}"


@pytest.mark.any_backend
def test_an_error_about_an_unknown_option_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown option.*'momentum', 'nesterov'.*mass, friction.*PHS.from_sgd"
    ):
        PHS(momentum=0.9, nesterov=True)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "value", [True, None, "nothing", [1.0], {"a": 1}, np.ones(2), lambda shape, dtype=None: 0]
)
def test_an_invalid_initial_momentum_is_refused(value):
    with pytest.raises(ValueError, match="initial_momentum must be a number, a Keras initializer"):
        PHS(initial_momentum=value)


@pytest.mark.any_backend
@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_an_initial_momentum_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="initial_momentum must be a finite number, not"):
        PHS(initial_momentum=value)


@pytest.mark.any_backend
def test_the_friction_can_be_multiplied_in_place():
    optimizer = PHS(0.1, friction=1.0)
    optimizer.friction *= 2
    optimizer.build([keras.Variable([1.0])])
    optimizer.friction *= 2
    assert float(keras.ops.convert_to_numpy(optimizer.friction)) == 4.0


@pytest.mark.any_backend
@pytest.mark.parametrize("built", [False, True])
def test_setting_the_friction_is_checked_as_in_the_constructor(built):
    optimizer = PHS(0.1, mass=0.5, friction=1.0)
    if built:
        optimizer.build([keras.Variable([1.0])])
    for bad in (-1, float("nan"), True, "2"):
        with pytest.raises(ValueError, match="friction must be a number >= 0, not"):
            optimizer.friction = bad
    with pytest.raises(ValueError, match=r"αγ/m = 4 .*Choose friction <= 5,"):
        optimizer.friction = 20.0
    with pytest.warns(UserWarning, match=r"oscillates: αγ/m = 1\.5 .*friction \(γ\) 7\.5"):
        optimizer.friction = 7.5
    assert float(keras.ops.convert_to_numpy(optimizer.friction)) == 7.5


@pytest.mark.any_backend
def test_checks_of_keras_still_apply():
    with pytest.raises(ValueError, match="Only one of `clipnorm`, `clipvalue`"):
        PHS(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match="`gradient_accumulation_steps` must be an integer >= 2"):
        PHS(gradient_accumulation_steps=1)
    with pytest.raises(ValueError, match="`ema_momentum` must be in the range"):
        PHS(use_ema=True, ema_momentum=1.5)
