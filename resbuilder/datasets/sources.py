"""The sources of the known datasets: scikit-learn, keras.datasets, tensorflow_datasets.

Every ``read`` function returns the arrays x_train, y_train, x_test, y_test by name. Every ``find``
function returns where the data already are on this machine, or None. A download is tried only if
the host answers within seconds, because without a network the libraries would retry for minutes.
"""

import os
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from resbuilder.datasets.progress import progress
from resbuilder.datasets.split import Split

TEST_FRACTION, TEST_SEED = 0.2, 0  # For digits, which have no test part.
_TIMEOUT = 10  # Seconds in which the host of a download must answer.
_BATCH = 1024

# name: (a file to download, the files in Keras' cache after the download)
_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_FASHION = (
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
)
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
KERAS = {
    "mnist": (f"{_KERAS_URL}mnist.npz", ("mnist.npz",)),
    "fashion_mnist": (
        f"{_KERAS_URL}{_FASHION[0]}",
        tuple(f"fashion-mnist/{file}" for file in _FASHION),
    ),
    "cifar10": (f"{_CIFAR_URL}cifar-10-python.tar.gz", ("cifar-10-batches-py-target_archive",)),
    "cifar100": (f"{_CIFAR_URL}cifar-100-python.tar.gz", ("cifar-100-python-target_archive",)),
}

# name: (name in tensorflow_datasets, feature that is the label, host of the download)
TFDS = {
    "emnist": ("emnist/byclass", "label", "https://biometrics.nist.gov/"),
    "smallnorb": ("smallnorb", "label_category", "https://cs.nyu.edu/"),
}


class NotHereError(Exception):
    """The data are not on this machine and could not be downloaded; the message says why."""


def read_digits() -> dict[str, np.ndarray]:
    """Read scikit-learn's 1,797 digits, 8x8 pixels, floats from 0 to 16.

    They have no test part, so a stratified 20 % is drawn with the fixed seed 0.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    split = Split.stratified(digits.target, TEST_FRACTION, TEST_SEED)
    arrays = {}
    for part, chosen in (("train", split.train), ("test", split.validation)):
        arrays[f"x_{part}"] = digits.images[chosen].astype(np.float32)
        arrays[f"y_{part}"] = digits.target[chosen]
    return arrays


def find_keras(name: str) -> Path | None:
    """Return the path of Keras' cached copy of a dataset, or None."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"
    files = [home / file for file in KERAS[name][1]]
    if not all(file.exists() for file in files):
        return None
    return files[0] if len(files) == 1 else files[0].parent


def read_keras(name: str) -> dict[str, np.ndarray]:
    """Read mnist, fashion_mnist, cifar10 or cifar100 through keras.datasets.

    Raises:
        NotHereError: If it is neither cached nor downloadable.
    """
    import keras

    if find_keras(name) is None:
        _check_host(KERAS[name][0])
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise NotHereError(str(error)) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def find_tfds(name: str, data_dir: Path | None) -> Path | None:
    """Return the folder of a prepared dataset, in ``data_dir`` or where tfds keeps its data."""
    for base in (data_dir, _tfds_home()):
        if base is not None:
            infos = base.glob(f"{TFDS[name][0]}/*/dataset_info.json")
            versions = sorted(p.parent for p in infos if "incomplete" not in p.parent.name)
            if versions:
                return versions[-1]
    return None


def read_tfds(name: str, data_dir: Path | None) -> dict[str, np.ndarray]:
    """Read emnist or smallnorb through tensorflow_datasets, which prepares them if necessary.

    EMNIST is stored with rows and columns exchanged, so its images are transposed. Of SmallNORB's
    stereo pairs, only one camera is used, and of its labels only the category.

    Raises:
        NotHereError: If it is neither prepared nor downloadable, or the prepared copy is broken.
    """
    title, label_key, host = TFDS[name]
    folder = find_tfds(name, data_dir)
    if folder is None:
        _check_host(host)
    try:
        import tensorflow_datasets as tfds

        if folder is None:
            builder = tfds.builder(title, data_dir=_tfds_home())
            builder.download_and_prepare()
        else:
            builder = tfds.builder_from_directory(folder)
        arrays = {}
        for part in ("train", "test"):
            total = builder.info.splits[part].num_examples
            # Decode only what is used, as SmallNORB has a second image per example.
            wanted = tfds.decode.PartialDecoding({"image": True, label_key: True})
            stored = builder.as_dataset(split=part, decoders=wanted).batch(_BATCH)
            pixels = np.empty((total, *builder.info.features["image"].shape), np.uint8)
            labels = np.empty(total, np.int64)
            batches = progress(tfds.as_numpy(stored), -(-total // _BATCH), f"reading {name}/{part}")
            for i, batch in enumerate(batches):
                at = slice(i * _BATCH, (i + 1) * _BATCH)
                pixels[at], labels[at] = batch["image"], batch[label_key]
            arrays[f"x_{part}"] = pixels.swapaxes(1, 2) if name == "emnist" else pixels
            arrays[f"y_{part}"] = labels
        return arrays
    except ImportError as error:
        # Version 4.9.10 needs importlib_resources, but does not require it.
        hint = "pip install tensorflow-datasets importlib_resources"
        raise NotHereError(f"{error}: {hint}") from error
    except Exception as error:  # tensorflow_datasets raises its own and TensorFlow's errors.
        raise NotHereError(f"{type(error).__name__}: {error}") from error


def _tfds_home() -> Path:
    """Return the folder in which tensorflow_datasets keeps prepared data by default."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def _check_host(url: str) -> None:
    """Raise NotHereError unless the host of a download answers; proxies are respected."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_TIMEOUT).close()
    except urllib.error.HTTPError:
        pass  # The host answered; the download will show whether the file exists.
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise NotHereError(f"no connection to {request.host}: {reason}") from error
