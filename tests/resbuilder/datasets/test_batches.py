"""Batches: the right pixels, reproducible, on every backend."""

import keras
import numpy as np
import pytest

from resbuilder.datasets import Augmentation, Batches

pytestmark = pytest.mark.any_backend


@pytest.fixture
def data():
    """Images of distinct pixels, so that the origin of every pixel is known."""
    x = np.arange(23 * 10 * 12 * 2, dtype=np.float32).reshape(23, 10, 12, 2)
    return x, np.arange(23)


def epoch_of(batches):
    """Return the pixels and labels of one epoch."""
    parts = [batches[b] for b in range(len(batches))]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def moved(image, down, right, flip):
    """Shift with repeated edges and then mirror, pixel by pixel."""
    height, width, _ = image.shape
    out = np.empty_like(image)
    for i in range(height):
        for j in range(width):
            row = min(max(i - down, 0), height - 1)
            column = min(max(j - right, 0), width - 1)
            out[i, width - 1 - j if flip else j] = image[row, column]
    return out


def test_plain_batches_are_the_images_in_order(data):
    x, y = data
    batches = Batches(x.astype(np.uint8), y, batch_size=10)
    assert [len(batches[b][1]) for b in range(len(batches))] == [10, 10, 3]
    pixels, labels = epoch_of(batches)
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels, x.astype(np.uint8)) and np.array_equal(labels, y)


def test_shuffled_epochs_have_every_chosen_image_once_in_new_orders(data):
    x, y = data
    chosen = np.array([2, 3, 5, 7, 11, 13, 17, 19])
    batches = Batches(x, y, chosen, batch_size=3, shuffle=True)
    orders = []
    for _ in range(2):
        pixels, labels = epoch_of(batches)
        assert np.array_equal(np.sort(labels), chosen)
        assert np.array_equal(pixels, x[labels])
        orders.append(labels.tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1]


def test_augmented_images_are_shifted_and_flipped_copies(data):
    x, y = data
    pixels, labels = epoch_of(Batches(x, y, shuffle=True, augment=Augmentation(shift=0.2)))
    assert not np.array_equal(pixels, x[labels])
    every = [(d, r, f) for d in range(-2, 3) for r in range(-2, 3) for f in (False, True)]
    for image, label in zip(pixels, labels, strict=True):
        assert any(np.array_equal(image, moved(x[label], *move)) for move in every)


def test_every_shift_and_flip_is_equally_likely():
    """Chi-squared over the 3 x 3 shifts times 2 flips of a 10 x 12 image at 10 %."""
    image = np.arange(120, dtype=np.uint8).reshape(1, 10, 12, 1)
    x, draws = np.repeat(image, 1800, axis=0), np.zeros(1800, int)
    pixels, _ = epoch_of(Batches(x, draws, batch_size=600, augment=Augmentation(), seed=5))
    found = {}
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            for flip in (False, True):
                same = (pixels == moved(image[0], down, right, flip)).all(axis=(1, 2, 3))
                found[down, right, flip] = same.sum()
    counts = np.array(list(found.values()))
    assert counts.sum() == 1800
    assert ((counts - 100) ** 2 / 100).sum() < 40.8  # 0.1 % point of chi-squared with 17 degrees


def test_without_flips_or_shifts_images_stay_so(data):
    x, y = data
    still = epoch_of(Batches(x, y, augment=Augmentation(shift=0, flip=False)))[0]
    assert np.array_equal(still, x)
    flipped = epoch_of(Batches(x, y, augment=Augmentation(shift=0, flip=True)))[0]
    mirrored = (flipped == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert mirrored.any() and np.array_equal(flipped[~mirrored], x[~mirrored])


def test_a_batch_depends_only_on_seed_epoch_and_number(data):
    x, y = data
    settings = dict(batch_size=5, shuffle=True, augment=Augmentation(0.2))
    forwards, backwards = Batches(x, y, **settings), Batches(x, y, **settings)
    for batches in (forwards, backwards):
        batches.epoch = 3
    kept = [forwards[b] for b in range(5)]
    for b in reversed(range(5)):
        for got, expected in zip(backwards[b], kept[b], strict=True):
            assert np.array_equal(got, expected)
    assert not np.array_equal(Batches(x, y, seed=1, **settings)[0][0], kept[0][0])
    backwards.epoch = 4
    assert not np.array_equal(backwards[0][0], kept[0][0])


def test_draw_describes_the_whole_epoch(data):
    x, y = data
    chosen = np.array([2, 3, 5, 7, 11, 13, 17, 19])
    batches = Batches(x, y, chosen, 3, shuffle=True, augment=Augmentation(0.2), seed=4)
    batches.epoch = 2
    order, moves = batches.draw()
    pixels, labels = epoch_of(batches)
    assert np.array_equal(labels, chosen[order])
    for image, label, (down, right, flip) in zip(pixels, labels, moves, strict=True):
        assert np.array_equal(image, moved(x[label], down, right, flip))


def test_batches_are_the_same_as_in_version_0_1_0(data):
    """A run begun with that version resumes with the same images; computed at commit 43f5f6f."""
    x, y = data
    batches = Batches(x, y, batch_size=5, shuffle=True, augment=Augmentation(0.2), seed=4)
    batches.epoch = 2
    pixels, labels = batches[1]
    assert labels.tolist() == [20, 2, 3, 6, 11]
    assert pixels[:, 0, 0, 0].tolist() == [4828.0, 484.0, 762.0, 1486.0, 2642.0]


def small_fit(epochs):
    """Train a small network on augmented batches; return its weights, losses and batches."""
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 8, 8, 1), np.uint8), rng.integers(0, 3, 50)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    batches = Batches(x, y, batch_size=16, shuffle=True, augment=Augmentation())
    history = model.fit(
        batches,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=Batches(x, y, batch_size=16),
    )
    return model.get_weights(), history.history, batches


def test_fit_is_repeatable_and_counts_the_epochs():
    weights, history, batches = small_fit(epochs=3)
    again, history_again, _ = small_fit(epochs=3)
    assert batches.epoch == 4  # Epochs 1, 2 and 3 are done.
    assert history == history_again and len(set(history["loss"])) == 3
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fit_trains_on_the_batches_of_epochs_one_to_n():
    """Gradient steps by hand, on the batches by their numbers, end at the same weights."""
    trained, _, batches = small_fit(epochs=3)
    kernel, bias = (np.float64(weight) for weight in small_fit(epochs=0)[0])
    for epoch in (1, 2, 3):
        batches.epoch = epoch
        for b in range(len(batches)):
            x, y = batches[b]
            flat = np.float64(x).reshape(len(x), -1) / 255
            scores = flat @ kernel + bias
            error = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            error[np.arange(len(y)), y] -= 1  # Softmax minus one-hot.
            kernel -= 0.01 * flat.T @ error / len(y)
            bias -= 0.01 * error.mean(axis=0)
    np.testing.assert_allclose(trained[0], kernel, atol=1e-5)
    np.testing.assert_allclose(trained[1], bias, atol=1e-5)


def test_bad_input_is_refused(data):
    x, y = data
    for arguments, message in [
        ((x, y[:5]), "and 5 labels"),
        ((x[..., 0], y), "expected images"),
        ((x, y, []), "indices is empty"),
        ((x, y, None, 0), "batch_size must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            Batches(*arguments)
    with pytest.raises(ValueError, match="seed at least 0"):
        Batches(x, y, seed=-1)
    with pytest.raises(ValueError, match="shift must be"):
        Augmentation(shift=1.0)
