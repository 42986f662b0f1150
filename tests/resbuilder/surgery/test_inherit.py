"""Networks inherit the weights and optimizer slots that they have in common."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from resbuilder.morphnet import resize
from resbuilder.surgery.inherit import inherit

OPTIMIZERS = {
    "adam": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, use_ema=True),
    "sgd": lambda: optimizers.SGD(0.01, momentum=0.9),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "adafactor": lambda: optimizers.Adafactor(0.01),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01)),
}


def build(width=6, inner=5, blocks=1):
    """Return a residual network in which some layer names are prefixes of others."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(width, 3, padding="same", name="b")(inputs)
    for n in range(blocks):
        y = layers.Conv2D(inner, 3, padding="same", use_bias=False, name=f"b_{n}_conv1")(x)
        y = layers.ReLU()(layers.BatchNormalization(name=f"b_{n}_bn1")(y))
        x = layers.Add()([x, layers.Conv2D(width, 3, padding="same", name=f"b_{n}_conv2")(y)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def used(make):
    """Return a model and an optimizer whose slots and scalars all differ from initial ones."""
    model, optimizer = build(), make()
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in [*model.weights, *optimizer.variables]:
        integer = "int" in variable.dtype
        variable.assign(7 if integer else rng.uniform(0.1, 1, variable.shape))
    return model, optimizer


def values(variables):
    result = {}
    for variable in variables:
        name = variable.name
        # A loss scale optimizer has an "iteration" in addition to that of the inner optimizer.
        while name in result:
            name += "_inner"
        result[name] = variable.numpy()
    return result


def begun(slot, fresh, target):
    """Return what a slot begins with: an average with its weight, others with what they have."""
    if not slot.endswith("_average"):
        return fresh[slot]
    path = slot.removesuffix("_average")
    return next(w.numpy() for w in target.weights if w.path.replace("/", "_") == path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_inserting_a_block_keeps_every_weight_and_slot(name):
    source, source_optimizer = used(OPTIMIZERS[name])
    target, target_optimizer = build(blocks=2), OPTIMIZERS[name]()
    target_optimizer.build(target.trainable_variables)
    fresh = values(target_optimizer.variables)
    inserted = {w.path: w.numpy() for w in target.weights if w.path.startswith("b_1")}
    inherit(target, source, None, target_optimizer, source_optimizer)

    weights = {w.path: w.numpy() for w in target.weights}
    for weight in source.weights:
        np.testing.assert_array_equal(weights[weight.path], weight.numpy())
    for path, value in inserted.items():
        np.testing.assert_array_equal(weights[path], value)

    old, new = values(source_optimizer.variables), values(target_optimizer.variables)
    assert set(old) < set(new)
    for slot, value in new.items():
        # Adafactor's factored statistics do not name their weight, so they start again.
        factored = value.ndim and slot.startswith(("kernel", "bias", "gamma", "beta"))
        kept = factored or slot.startswith("learning_rate")
        begin = begun(slot, fresh, target)
        expected = begin if kept else old.get(slot, begin)
        np.testing.assert_array_equal(value, expected, slot)
    assert new["iteration"] == 7


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_follow_their_channels(name):
    source, source_optimizer = used(OPTIMIZERS[name])
    trunk, inner = [4, 0, 2, -1], [1, -1, -1, 0, 3, 2, -1]
    channels = {"b": trunk, "b_0_conv1": inner}
    target, target_optimizer = resize(source, channels), OPTIMIZERS[name]()
    target_optimizer.build(target.trainable_variables)
    fresh = values(target_optimizer.variables)
    inherit(target, source, channels, target_optimizer, source_optimizer)
    old, new = values(source_optimizer.variables), values(target_optimizer.variables)
    assert set(old) == set(new)
    kernels = [slot for slot in new if slot.startswith("b_0_conv1_kernel_")]
    assert kernels
    for slot in kernels:
        begin = begun(slot, fresh, target)
        for j, to in enumerate(inner):
            for i, of in enumerate(trunk):
                expected = begin[:, :, i, j]
                if to >= 0 and of >= 0:
                    expected = old[slot][:, :, of, to]
                np.testing.assert_array_equal(new[slot][:, :, i, j], expected)
    for slot in (slot for slot in new if slot.startswith("b_0_bn1_gamma_")):
        kept = np.array(inner) >= 0
        np.testing.assert_array_equal(new[slot][kept], old[slot][np.array(inner)[kept]])
        np.testing.assert_array_equal(new[slot][~kept], begun(slot, fresh, target)[~kept])
    for slot in (slot for slot in new if slot.startswith("logits_bias_")):
        np.testing.assert_array_equal(new[slot], old[slot])


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_removing_a_block_and_channels_at_once():
    source, target = build(blocks=2), build(width=4, blocks=1)
    channels = {"b": [5, 1, 0, 3], "b_1_conv1": []}
    inherit(target, source, channels)
    expected = source.get_layer("b_0_conv2").kernel.numpy()[..., channels["b"]]
    np.testing.assert_array_equal(target.get_layer("b_0_conv2").kernel.numpy(), expected)
    expected = source.get_layer("logits").kernel.numpy()[channels["b"]]
    np.testing.assert_array_equal(target.get_layer("logits").kernel.numpy(), expected)


@pytest.mark.any_backend
def test_training_continues_as_if_the_network_had_not_been_copied():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 6, 6, 2)), rng.normal(size=(8, 3))
    source, target = build(), build()
    source.compile(optimizers.Adam(0.01), "mse")
    source.fit(x, y, batch_size=4, verbose=0)
    target.compile(optimizers.Adam(0.01), "mse")
    inherit(target, source, None, target.optimizer, source.optimizer)
    for model in (source, target):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(source.weights, target.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_the_target_keeps_its_learning_rate():
    source, source_optimizer = used(OPTIMIZERS["adam"])
    target_optimizer = optimizers.Adam(0.5, amsgrad=True)
    inherit(build(), source, None, target_optimizer, source_optimizer)
    assert float(target_optimizer.learning_rate) == 0.5


def test_an_optimizer_that_is_not_built_has_nothing_to_copy():
    source, target, optimizer = build(), build(), optimizers.Adam()
    inherit(target, source, None, optimizer, optimizers.Adam())
    assert not optimizer.built


@pytest.mark.any_backend
def test_models_that_do_not_match_are_refused():
    model = build()
    with pytest.raises(ValueError, match=r"b/kernel.*\(3, 3, 2, 4\).*\(3, 3, 2, 6\)"):
        inherit(build(width=4), model)
    with pytest.raises(ValueError, match="both"):
        inherit(build(), model, None, optimizers.SGD())
    with pytest.raises(ValueError, match="of one class, got SGD and Adam"):
        inherit(build(), model, None, optimizers.SGD(), optimizers.Adam())
    x = keras.Input((6, 6, 2))
    other = keras.Model(x, layers.Dense(3, name="b")(x))
    with pytest.raises(ValueError, match="'b' is Dense.*Conv2D"):
        inherit(other, model)
