"""The real MNIST and Fashion-MNIST, and a part of CIFAR-10."""

import io

import numpy as np
import pytest
from PIL import Image

from resbuilder.datasets import Preprocessing, Split, load


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_family(name, shared):
    data = load(name, shared / "data")
    assert data.x_train.shape == (60_000, 28, 28, 1) and data.x_train.dtype == np.uint8
    assert data.x_test.shape == (10_000, 28, 28, 1)
    assert len(data.class_names) == 10
    assert Preprocessing.fit(data.x_train, data.scaling).scale == (1 / 255,)
    split = Split.stratified(data.y_train)
    assert len(split.validation) == 12_000
    held = np.bincount(data.y_train[split.validation]) / np.bincount(data.y_train)
    assert np.all(np.abs(held - 0.2) < 1e-3)


def test_class_names_fit_the_images(shared):
    """Trousers are the narrowest article, and pullovers are wider than dresses."""
    data = load("fashion_mnist", shared / "data")
    width = (data.x_train[..., 0] > 60).any(axis=1).sum(axis=1)
    mean = {name: width[data.y_train == i].mean() for i, name in enumerate(data.class_names)}
    assert min(mean, key=mean.get) == "trouser"
    assert mean["dress"] + 3 < mean["pullover"]


def test_cifar10_statistics(shared, tmp_path):
    packed, arrays = np.load(shared / "data" / "cifar10_jpeg.npz"), {}
    for part, count in (("train", 3000), ("test", 500)):
        ends = np.cumsum(packed[f"size_{part}"][:count].astype(int))
        files = np.split(packed[f"jpeg_{part}"][: ends[-1]], ends[:-1])
        decoded = [np.asarray(Image.open(io.BytesIO(file.tobytes()))) for file in files]
        arrays[f"x_{part}"] = np.stack(decoded)
        arrays[f"y_{part}"] = packed[f"y_{part}"][:count]
    np.savez(tmp_path / "cifar10.npz", **arrays)
    data = load("cifar10", tmp_path)
    assert data.input_shape == (32, 32, 3) and data.scaling == "standardize"
    fitted = Preprocessing.fit(data.x_train, data.scaling)
    # The well-known statistics of all 50,000 training images.
    np.testing.assert_allclose(1 / np.array(fitted.scale), [62.99, 62.09, 66.70], atol=1.5)
    mean = -np.array(fitted.offset) / fitted.scale
    np.testing.assert_allclose(mean, [125.31, 122.95, 113.87], atol=3)
