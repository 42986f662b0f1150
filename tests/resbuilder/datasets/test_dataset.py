"""The format of every dataset, and how broken arrays are refused."""

import numpy as np
import pytest

from resbuilder.datasets import Dataset


def arrays(**changes):
    """Return the arguments of a small valid dataset with three classes."""
    labels = np.arange(12) % 3
    images = np.zeros((12, 4, 5, 3), np.uint8)
    given = dict(x_train=images, y_train=labels, x_test=images[:6], y_test=labels[:6])
    return {"name": "tiny", "class_names": None, **given, **changes}


def test_arrays_are_converted_to_one_format():
    gray = np.full((12, 4, 5), 200, np.int64)
    column = (np.arange(12, dtype=np.uint8) % 3)[:, None]
    data = Dataset(**arrays(x_train=gray, x_test=gray[:6], y_train=column))
    assert data.x_train.shape == (12, 4, 5, 1) and data.x_train.dtype == np.uint8
    assert (data.x_train == 200).all()
    assert data.y_train.tolist() == [0, 1, 2] * 4 and data.y_train.dtype == np.int64
    assert data.input_shape == (4, 5, 1)
    assert data.classes == 3 and data.class_names == ("0", "1", "2")


def test_floating_point_pixels_keep_their_values():
    pixels = np.linspace(-3, 1000, 12 * 4 * 5 * 3).reshape(12, 4, 5, 3)
    data = Dataset(**arrays(x_train=pixels, x_test=pixels[:6]))
    assert data.x_train.dtype == np.float32
    np.testing.assert_allclose(data.x_train, pixels, rtol=1e-6)


def test_a_nan_in_the_last_image_is_found():
    pixels = np.zeros((12, 4, 5, 3))
    pixels[11, 3, 4, 2] = np.nan
    with pytest.raises(ValueError, match=r"x_train has NaN .* 1 of 12 .* image 11"):
        Dataset(**arrays(x_train=pixels, x_test=pixels[:6]))


SIX = np.zeros((6, 4, 5, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": SIX + np.inf, "x_train": np.zeros((12, 4, 5, 3))}, "x_test has NaN or inf"),
        ({"x_train": np.full((12, 4, 5, 3), 256)}, "from 256 to 256; expected 0..255"),
        ({"x_train": np.full((12, 4, 5, 3), -1)}, "from -1 to -1; expected 0..255"),
        ({"x_train": np.zeros((12, 4, 5, 3), complex)}, "type complex128"),
        ({"x_train": np.zeros((12, 20))}, r"shape \(12, 20\); expected"),
        ({"x_train": np.zeros((12, 0, 5, 3))}, "at least one image"),
        ({"x_train": np.zeros((12, 3, 32, 32), np.uint8)}, "channels first"),
        ({"x_train": np.zeros((11, 4, 5, 3), np.uint8)}, "11 images but y_train has 12 labels"),
        ({"x_test": np.zeros((6, 4, 4, 3), np.uint8)}, "both must be the same"),
        ({"x_test": SIX.astype(np.float32)}, "both must be the same"),
        ({"y_train": np.arange(12) % 3 - 1}, "negative label -1"),
        ({"y_train": np.arange(12) % 3 * 1.0}, "type float64; expected integer"),
        ({"y_train": np.eye(12)}, "one-hot"),
        ({"y_train": np.zeros(12, int)}, "only class 0"),
        ({"y_train": np.arange(12) % 3 + 1}, "renumber the labels"),
        ({"y_test": np.full(6, 3)}, "y_test goes up to 3; renumber"),
        (
            {"class_names": ["cat", "dog", "cat"]},
            "two classes are called 'cat'",
        ),
        (
            {"y_test": np.full(6, 3), "class_names": "abc"},
            "label 3, which is out of range; expected 0..2",
        ),
        (
            {"y_train": np.arange(12) % 2, "class_names": "abc"},
            "y_test has images of the class 'c', but y_train has none",
        ),
        ({"scaling": "minmax"}, "scaling must be one of"),
    ],
)
def test_broken_arrays_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Dataset(**arrays(**changes))


def pixels(dtype="float32", size=(8, 8, 1)):
    x = np.random.default_rng(0).random((12, *size)) * (255 if dtype == "uint8" else 1)
    return x.astype(dtype), np.arange(12) % 3


def test_pixels_of_the_two_parts_have_the_same_range():
    x, y = pixels()
    with pytest.raises(ValueError, match="x_train are up to .*, those of x_test up to 25"):
        Dataset("mine", x, y, 255 * x, y, None)
    Dataset("mine", 255 * x, y, 200 * x, y, None)


def test_a_class_without_training_images_is_named():
    x, y = pixels()
    with pytest.warns(UserWarning, match="mine: y_train has no image of air; the labels must"):
        Dataset("mine", x, y + 1, x, y + 1, class_names=["air", "car", "bird", "cat"])


def test_channels_first_are_also_noticed_with_four_channels():
    x, y = pixels("uint8", (4, 32, 32))
    with pytest.raises(ValueError, match="looks like channels first"):
        Dataset("mine", x, y, x, y, None)
