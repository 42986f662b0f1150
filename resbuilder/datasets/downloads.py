"""The files to download for the known datasets: their names, web pages and SHA-256 hashes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """What to download for a dataset.

    Attributes:
        page: Web page with the files.
        files: SHA-256 of each file by its name, as recorded in tensorflow_datasets 4.9.10; None if
            the publisher packs the file on request, so that its hash varies.
    """

    page: str
    files: dict[str, str | None]


_NORB = "smallnorb-5x{}-{}.mat.gz"
_NORB_TRAIN, _NORB_TEST = "46789x9x18x6x2x96x96-training", "01235x9x18x6x2x96x96-testing"

# The files of MNIST and Fashion-MNIST have the same names.
IDX = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
EMNIST = {
    "x_train": "gzip/emnist-byclass-train-images-idx3-ubyte.gz",
    "y_train": "gzip/emnist-byclass-train-labels-idx1-ubyte.gz",
    "x_test": "gzip/emnist-byclass-test-images-idx3-ubyte.gz",
    "y_test": "gzip/emnist-byclass-test-labels-idx1-ubyte.gz",
}
NORB = {
    "x_train": _NORB.format(_NORB_TRAIN, "dat"),
    "y_train": _NORB.format(_NORB_TRAIN, "cat"),
    "x_test": _NORB.format(_NORB_TEST, "dat"),
    "y_test": _NORB.format(_NORB_TEST, "cat"),
}

DOWNLOADS = {
    "mnist": Download(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        {
            IDX["x_train"]: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            IDX["y_train"]: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            IDX["x_test"]: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            IDX["y_test"]: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion_mnist": Download(
        "https://github.com/zalandoresearch/fashion-mnist",
        {
            IDX["x_train"]: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            IDX["y_train"]: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            IDX["x_test"]: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            IDX["y_test"]: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "emnist": Download(
        "https://www.nist.gov/itl/products-and-services/emnist-dataset",
        {"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
    ),
    "cifar10": Download(
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            )
        },
    ),
    "cifar100": Download(
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {
            "cifar-100-binary.tar.gz": (
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
            )
        },
    ),
    "smallnorb": Download(
        "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        {
            NORB["x_train"]: "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
            NORB["y_train"]: "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
            NORB["x_test"]: "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
            NORB["y_test"]: "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff",
        },
    ),
    "animals10": Download(
        "https://www.kaggle.com/datasets/alessiocorrado99/animals10", {"archive.zip": None}
    ),
}

# The folders of Animals10 have Italian names.
ANIMALS = {
    "cane": "dog",
    "cavallo": "horse",
    "elefante": "elephant",
    "farfalla": "butterfly",
    "gallina": "chicken",
    "gatto": "cat",
    "mucca": "cow",
    "pecora": "sheep",
    "ragno": "spider",
    "scoiattolo": "squirrel",
}
