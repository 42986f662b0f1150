"""Known datasets from their libraries, and clear errors if they cannot be obtained."""

import gzip
import importlib.util
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from resbuilder.datasets import available, load, names

needs_tfds = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None
    or importlib.util.find_spec("tensorflow_datasets") is None,
    reason="needs tensorflow_datasets",
)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network (the proxy does not exist) and empty caches of the libraries."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path


@pytest.mark.any_backend
def test_digits_are_those_of_scikit_learn():
    data = load("digits")
    assert data.input_shape == (8, 8, 1) and data.classes == 10 and data.scaling == "unit"
    assert (len(data.y_train), len(data.y_test)) == (1438, 359)
    assert data.x_train.dtype == np.float32 and data.x_train.max() == 16
    shares = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    assert np.all(np.abs(shares - 0.2) < 0.006)
    # Training and test part together have each of scikit-learn's images once.
    from sklearn.datasets import load_digits

    both = np.concatenate([data.x_train, data.x_test]).reshape(1797, 64)
    stored = load_digits().data
    assert np.array_equal(both[np.lexsort(both.T)], stored[np.lexsort(stored.T)])


def prepare(folder, name, config, version, features, count, example):
    """Write a prepared dataset with tensorflow_datasets' own writer."""
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version=version,
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            part: [(i, example(part, i)) for i in range(count)] for part in ("train", "test")
        },
    )


@needs_tfds
def test_emnist_is_transposed(offline):
    """An L that is stored transposed must be upright: a long stroke down, a short one right."""
    import tensorflow_datasets as tfds

    letter = np.zeros((28, 28, 1), np.uint8)
    letter[4:24, 8:11] = 255
    letter[21:24, 8:20] = 255

    def example(part, i):
        return {"image": letter.swapaxes(0, 1) // (2 if part == "test" else 1), "label": i % 62}

    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=62),
    }
    prepare(offline / "data", "emnist", "byclass", "3.1.0", features, 124, example)
    data = load("emnist", offline / "data")
    assert data.x_train.shape == (124, 28, 28, 1) and data.classes == 62
    assert all(np.array_equal(image, letter) for image in data.x_train)
    assert all(np.array_equal(image, letter // 2) for image in data.x_test)
    assert np.bincount(data.y_train).tolist() == [2] * 62
    assert data.class_names[10] == "A" and data.class_names[61] == "z"
    where = {record.name: record.where for record in available(offline / "data")}
    assert where["emnist"] == str(offline / "data" / "emnist" / "byclass" / "3.1.0")


@needs_tfds
def test_smallnorb_takes_one_camera_and_the_category(offline):
    """More images than one batch of the reader, each recognizable, in the library's own folder."""
    import tensorflow_datasets as tfds

    def example(part, i):
        image = np.zeros((96, 96, 1), np.uint8)
        image[0, :2, 0] = divmod(i, 256)
        image[1, 0, 0] = i % 5
        return {"image": image, "image2": 255 - image, "label_category": i % 5, "instance": 7}

    features = {
        "image": tfds.features.Image(shape=(96, 96, 1)),
        "image2": tfds.features.Image(shape=(96, 96, 1)),
        "label_category": tfds.features.ClassLabel(num_classes=5),
        "instance": tfds.features.ClassLabel(num_classes=10),
    }
    prepare(offline / "tfds", "smallnorb", None, "2.0.0", features, 1030, example)
    data = load("smallnorb")
    assert data.input_shape == (96, 96, 1) and data.scaling == "unit"
    assert data.class_names[0] == "four-legged animals"
    numbers = data.x_train[:, 0, 0, 0] * np.int64(256) + data.x_train[:, 0, 1, 0]
    assert np.array_equal(np.sort(numbers), np.arange(1030))
    assert np.array_equal(data.x_train[:, 1, 0, 0], data.y_train)


def test_keras_cached_copy_is_read_without_network(offline):
    """In a separate process, because Keras reads KERAS_HOME when it is imported."""
    cache = offline / "keras" / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 20)):
        pixels = np.full((count, 28, 28), count, np.uint8).tobytes()
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        images = cache / f"{part}-images-idx3-ubyte.gz"
        images.write_bytes(gzip.compress(struct.pack(">4i", 2051, count, 28, 28) + pixels))
        (cache / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2i", 2049, count) + labels)
        )
    code = (
        "from resbuilder.datasets import load, available\n"
        "data = load('fashion_mnist')\n"
        "assert data.x_train.shape == (30, 28, 28, 1) and (data.x_train == 30).all()\n"
        "assert data.y_test.tolist() == list(range(10)) * 2\n"
        "print({r.name: r.where for r in available()}['fashion_mnist'])\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}  # The backend that starts fastest.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(cache)


@pytest.mark.parametrize("name", [n for n in names() if n not in ("digits", "animals10")])
def test_without_data_and_network_the_error_says_what_to_download(name, offline):
    message = rf"{name} is not on this machine \(no connection to .*\). Download .* from https"
    with pytest.raises(ValueError, match=message) as caught:
        load(name)
    for part in ("prepare " + name, name + ".npz", "data_dir", "RESBUILDER_DATA", "x_train"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {record.name: record.where for record in available()}[name] is None


def test_the_error_says_where_to_put_animals10(tmp_path):
    with pytest.raises(ValueError, match=r"animals10.npz, or images in animals10/<class>/"):
        load("animals10", tmp_path)
