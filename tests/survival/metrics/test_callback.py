"""The callback adds the index of the whole split to the logs for other callbacks."""

import keras
import numpy as np
import pytest

from survival.metrics import ConcordanceIndexCallback, harrell_c, within_dataset_c

pytestmark = pytest.mark.any_backend


def data(n=60, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 3)).astype("float32")
    true, censored = random.exponential(np.exp(-x[:, 0])), random.exponential(2, n)
    return x, np.stack([np.minimum(true, censored), true <= censored], axis=1).astype("float32")


def loss(y, h):
    """Return a loss that changes the weights: early events should get high log-hazards."""
    return keras.ops.square(h + y[:, :1] - 1)


def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    network.compile(keras.optimizers.SGD(0.05), loss, jit_compile=False)
    return network


class Batches(keras.utils.PyDataset):
    """Batches of 7, in a different order in each pass."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.order = x, y, np.arange(len(x))

    def __len__(self):
        return -(-len(self.x) // 7)

    def __getitem__(self, i):
        if i == 0:
            self.order = np.random.default_rng(int(self.order[0])).permutation(len(self.x))
        rows = self.order[7 * i : 7 * i + 7]
        return self.x[rows], self.y[rows]


class Batched:
    """An iterable of batches that can be iterated over repeatedly."""

    def __init__(self, x, y):
        self.batches = [(x[i : i + 7], y[i : i + 7]) for i in range(0, len(x), 7)]

    def __iter__(self):
        return iter(self.batches)


class Weighted:
    """An iterable of batches with sample weights."""

    def __init__(self, x, y, weight):
        self.batches = [(x[i : i + 8], y[i : i + 8], weight[i : i + 8]) for i in range(0, 40, 8)]

    def __iter__(self):
        return iter(self.batches)


def validation_data(kind, x, y):
    if kind == "arrays":
        return x, y
    if kind == "PyDataset":
        return Batches(x, y)
    if kind == "own iterable":
        return Batched(x, y)
    if kind != {"tensorflow": "tf.data"}.get(keras.backend.backend(), keras.backend.backend()):
        pytest.skip("this dataset belongs to another backend")
    if kind == "tf.data":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(31).batch(7)
    import torch

    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return torch.utils.data.DataLoader(pairs, batch_size=7, shuffle=True)


@pytest.mark.parametrize("kind", ["arrays", "PyDataset", "own iterable", "tf.data", "torch"])
def test_the_index_of_the_whole_split_is_in_the_history(kind):
    x, y = data()
    x_val, y_val = data(31, seed=1)
    split = validation_data(kind, x_val, y_val)
    network = model()
    network.set_weights(
        [np.array([[-1], [0.5], [1]], "float32")]
    )  # poor weights, so that the index improves
    after = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: after.append(harrell_c(y_val, network.predict(x_val, verbose=0)))
    )
    callbacks = [ConcordanceIndexCallback(split), record]
    history = network.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
    assert history["val_cindex"] == pytest.approx(after)
    assert after[1] > after[0]


def test_strata_and_weights_count_as_in_the_loss():
    x, y = data()
    x_val, y_val = data(31, seed=1)
    stratum = np.arange(31) % 2
    whole = np.column_stack([y_val, stratum]).astype("float32")
    expected = within_dataset_c(y_val, x_val[:, 0], stratum)

    def index(split):
        network = model()
        network.set_weights([np.array([[1], [0], [0]], "float32")])
        network.optimizer.learning_rate = 0.0
        callbacks = [ConcordanceIndexCallback(split)]
        return network.fit(x, y, verbose=0, callbacks=callbacks).history["val_cindex"][0]

    assert index((x_val, whole)) == pytest.approx(expected)
    # Rows that fill up a batch have weight 0, as a sample weight or in the targets.
    more, again = np.concatenate([x_val, x_val[:9]]), np.concatenate([whole, whole[:9]])
    weight = (np.arange(40) < 31).astype("float32")
    weighted = np.column_stack([again, weight]).astype("float32")
    assert index((more, weighted)) == pytest.approx(expected)
    assert index(Weighted(more, again, weight)) == pytest.approx(expected)


def test_wrong_targets_of_a_dataset_are_refused_before_the_first_epoch():
    x, y = data()
    network = model()
    before = network.get_weights()[0]
    with pytest.raises(ValueError, match="is the second column the event"):
        network.fit(x, y, verbose=0, callbacks=[ConcordanceIndexCallback(Batched(x, y[:, ::-1]))])
    np.testing.assert_array_equal(network.get_weights()[0], before)


def test_it_does_not_change_the_training():
    x, y = data()
    weights = []
    for callbacks in ([], [ConcordanceIndexCallback((x, y))]):
        keras.utils.set_random_seed(1)
        network = model()
        # Not shuffled: on torch every prediction draws a number from its generator.
        network.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        weights.append(network.get_weights()[0])
    np.testing.assert_array_equal(*weights)


def test_early_stopping_and_checkpoints_follow_it(tmp_path):
    x, y = data(30)
    network = model()
    cindex = ConcordanceIndexCallback((x, y), name="val_c", batch_size=16)
    best = tmp_path / "best.weights.h5"
    history = network.fit(
        x, y, epochs=30, verbose=0, batch_size=8,
        callbacks=[
            cindex,
            keras.callbacks.EarlyStopping("val_c", mode="max", patience=2),
            keras.callbacks.ModelCheckpoint(
                best, "val_c", mode="max", save_best_only=True, save_weights_only=True
            ),
        ],
    ).history["val_c"]  # fmt: skip
    assert len(history) < 30
    assert np.argmax(history) == len(history) - 3
    network.load_weights(best)
    assert harrell_c(y, network.predict(x, verbose=0)) == pytest.approx(max(history))


def test_a_split_without_comparable_patients_fails_before_the_first_epoch():
    x, y = data()
    network = model()
    before = network.get_weights()[0]
    with pytest.raises(ValueError, match="no two patients can be compared"):
        callback = ConcordanceIndexCallback((x, y * [1, 0]))
        network.fit(x, y, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(network.get_weights()[0], before)


def test_a_diverging_training_gives_nan_and_a_warning():
    x, y = data()
    network = model()
    network.set_weights([np.full((3, 1), np.nan, "float32")])
    with pytest.warns(UserWarning, match="epoch 1: val_cindex is NaN.*diverged"):
        callbacks = [ConcordanceIndexCallback((x, y))]
        history = network.fit(x, y, verbose=0, callbacks=callbacks).history
    assert np.isnan(history["val_cindex"]).all()


def test_invalid_validation_data_are_refused():
    x, y = data()
    for wrong in (x, 3, (x, y, y), None):
        with pytest.raises(ValueError, match=r"\(x, y_true\)"):
            ConcordanceIndexCallback(wrong)
    with pytest.raises(ValueError, match="is the second column the event"):
        ConcordanceIndexCallback((x, y[:, ::-1]))


def test_a_generator_is_refused_because_it_ends_after_one_epoch():
    batches = [(np.zeros((2, 3)), np.ones((2, 2)))]
    with pytest.raises(ValueError, match="iterated over only once .generator.: give a dataset"):
        ConcordanceIndexCallback(batch for batch in batches)
