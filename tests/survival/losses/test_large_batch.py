"""The gradient computed from micro-batches is the gradient of the large batch."""

import keras
import numpy as np
import pytest
from keras import layers

from survival import CoxPHLoss
from survival.losses import LargeBatchModel

pytestmark = pytest.mark.any_backend


def network(*extra, dtype=None):
    """Return a small convolutional network with a weight regularizer."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(
                4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.1), dtype=dtype
            ),
            *extra,
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, dtype="float32"),
        ]
    )


def data(rows, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 6, 6, 2)).astype("float32")
    y = np.stack([random.integers(1, 6, rows), random.integers(0, 2, rows)], axis=1)
    y[0] = 0, 1
    return x, y.astype("float32")


def trained(model, network, x, y, **options):
    """Return losses and weights after two steps of gradient descent on the whole batch."""
    model.compile(keras.optimizers.SGD(1.0), CoxPHLoss("efron", mean_penalty=0.1))
    history = model.fit(x, y, batch_size=len(x), epochs=2, shuffle=False, verbose=0, **options)
    return history.history["loss"], network.get_weights()


# Micro-batches that divide the batch, that leave a rest, and one larger than the batch.
@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("rows, size, late", [(8, 2, False), (7, 3, True), (2, 3, False)])
def test_steps_are_those_of_the_whole_batch(rows, size, late):
    x, y = data(rows)
    if late:  # every second row enters before its time
        entry = np.where(np.arange(rows) % 2, y[:, 0] / 2, 0)
        y = np.column_stack([y, np.zeros(rows), np.ones(rows), entry]).astype("float32")
    direct = network()
    losses, weights = trained(direct, direct, x, y)
    wrapped = network()
    found_losses, found = trained(LargeBatchModel(wrapped, size), wrapped, x, y)
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
    for one, other in zip(found, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_inputs_can_be_loaded_part_by_part():
    x, y = data(7)
    direct = network()
    losses, weights = trained(direct, direct, x, y)
    wrapped, seen = network(), []

    def load(numbers):
        seen.append(len(numbers))
        return x[numbers]

    model = LargeBatchModel(wrapped, 3, load)
    found_losses, found = trained(model, wrapped, np.arange(7), y)
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
    for one, other in zip(found, weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert set(seen) == {3}


def test_an_error_of_loading_is_raised_as_it_is():
    def load(numbers):
        raise ValueError("x1.png is damaged")

    _, y = data(7)
    model = LargeBatchModel(network(), 3, load)
    with pytest.raises(ValueError, match="^x1.png is damaged$"):
        trained(model, model.network, np.arange(7), y)


@pytest.mark.slow_on("jax")
def test_rows_of_weight_zero_and_a_smaller_last_batch():
    x, y = data(9)
    present = np.array([1, 1, 0, 1, 1, 1, 0, 1, 1], "float32")
    results = []
    for wrap in (lambda n: n, lambda n: LargeBatchModel(n, 2)):
        net = network()
        model = wrap(net)
        model.compile(keras.optimizers.SGD(0.5), CoxPHLoss())
        history = model.fit(
            x, y, sample_weight=present, batch_size=6, epochs=2, shuffle=False, verbose=0
        )
        evaluated = model.evaluate(x, y, batch_size=9, verbose=0)
        predicted = model.predict(x, batch_size=9, verbose=0)
        results.append((history.history["loss"], evaluated, predicted, *net.get_weights()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_micro_batches_of_a_half_precision_network_give_almost_the_same_weights():
    x, y = data(8)
    direct = network(dtype="mixed_bfloat16")
    _, weights = trained(direct, direct, x, y)
    wrapped = network(dtype="mixed_bfloat16")
    _, found = trained(LargeBatchModel(wrapped, 2), wrapped, x, y)
    start = network().get_weights()
    for one, other, before in zip(found, weights, start, strict=True):
        # In half precision, sums over micro-batches are rounded differently.
        np.testing.assert_allclose(one, other, atol=0.05 * max(np.abs(other - before).max(), 0.01))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("layer", ["dropout", "batch_normalization"])
def test_both_passes_see_the_same_states(layer):
    """With dropout or batch normalization, the loss is that of all micro-batches in sequence."""

    def extra():
        return (
            layers.Dropout(0.5, seed=3)
            if layer == "dropout"
            else layers.BatchNormalization(momentum=0.5)
        )

    x, y = data(6)
    wrapped = network(extra())
    model = LargeBatchModel(wrapped, 2)
    _, found = trained(model, wrapped, x, y)

    class InSequence(keras.Model):
        """Compute the same outputs with all activations in memory."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, x, training=None):
            parts = [self.inner(x[i : i + 2], training=training) for i in (0, 2, 4)]
            return keras.ops.concatenate(parts, axis=0)

    reference = network(extra())
    _, expected = trained(InSequence(reference), reference, x, y)
    assert np.abs(found[0] - network().get_weights()[0]).max() > 1e-3
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_several_inputs_and_a_frozen_layer():
    def two_inputs():
        keras.utils.set_random_seed(1)
        image, age = keras.Input((6, 6, 2), name="image"), keras.Input((1,), name="age")
        frozen = layers.Conv2D(3, 3, activation="relu", trainable=False)
        features = layers.GlobalAveragePooling2D()(frozen(image))
        return keras.Model(
            {"image": image, "age": age}, layers.Dense(1)(layers.Concatenate()([features, age]))
        )

    images, y = data(8)
    x = {"image": images, "age": np.linspace(-1, 1, 8, dtype="float32")[:, None]}
    results = []
    for wrap in (lambda n: n, lambda n: LargeBatchModel(n, 2)):
        net = two_inputs()
        model = wrap(net)
        model.compile(keras.optimizers.SGD(1.0), CoxPHLoss())
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        results.append(net.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_only_the_network_is_saved(tmp_path):
    x, y = data(6)
    net = network()
    model = LargeBatchModel(net, 2)
    trained(model, net, x, y)
    model.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert type(again) is keras.Sequential
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_bad_sizes():
    for wrong in (0, -1, 1.5, None):
        with pytest.raises(ValueError, match="micro_batch_size must be a whole number >= 1"):
            LargeBatchModel(network(), wrong)
