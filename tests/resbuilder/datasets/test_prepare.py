"""Downloaded files become datasets: tiny files in the published formats, read with `load`."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resbuilder.cli import main
from resbuilder.datasets import DOWNLOADS, load, prepare
from resbuilder.datasets.downloads import ANIMALS, EMNIST, IDX, NORB

rng = np.random.default_rng(0)


def idx(array):
    return (
        struct.pack(">BBBB", 0, 0, 8, array.ndim)
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def norb(array):
    magic = {np.dtype("u1"): 0x1E3D4C55, np.dtype("<i4"): 0x1E3D4C54}[array.dtype]
    shape = (*array.shape, 1, 1)[: max(array.ndim, 3)]
    return struct.pack(f"<ii{len(shape)}i", magic, array.ndim, *shape) + array.tobytes()


def images(n, *shape):
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8)


def write_emnist(folder):
    arrays = {
        "x_train": images(6, 28, 28),
        "y_train": np.arange(6, dtype=np.uint8) + 50,
        "x_test": images(3, 28, 28),
        "y_test": np.arange(3, dtype=np.uint8) + 50,
    }
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/emnist-letters-mapping.txt", "1 65 97")
        for key, member in EMNIST.items():
            archive.writestr(member, gzip.compress(idx(arrays[key])))
    return arrays


def write_smallnorb(folder):
    arrays = {
        "x_train": images(5, 2, 96, 96),
        "y_train": np.array([0, 1, 2, 3, 4], "<i4"),
        "x_test": images(2, 2, 96, 96),
        "y_test": np.array([4, 0], "<i4"),
    }
    for key, file in NORB.items():
        (folder / file).write_bytes(gzip.compress(norb(arrays[key])))
    return arrays


def write_cifar100(folder):
    pixels = {"train": images(4, 3, 32, 32), "test": images(2, 3, 32, 32)}
    fine = {"train": np.array([99, 0, 7, 8]), "test": np.array([7, 99])}
    with tarfile.open(folder / "cifar-100-binary.tar.gz", "w:gz") as archive:
        for part, own in pixels.items():
            coarse = np.full(len(own), 19)
            labels = np.stack([coarse, fine[part]], 1)
            rows = np.concatenate([labels, own.reshape(len(own), -1)], 1).astype(np.uint8)
            info = tarfile.TarInfo(f"cifar-100-binary/{part}.bin")
            info.size = rows.size
            archive.addfile(info, io.BytesIO(rows.tobytes()))
    return pixels, fine


def test_emnist_is_transposed(tmp_path):
    arrays = write_emnist(tmp_path)
    path = prepare("emnist", [tmp_path / "gzip.zip"], tmp_path, verify=False)
    assert path == tmp_path / "emnist.npz"
    data = load("emnist", tmp_path)
    np.testing.assert_array_equal(data.x_train[..., 0], arrays["x_train"].transpose(0, 2, 1))
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])
    assert data.class_names[50] == "o"  # The 15th letter after 10 digits and 26 capitals.
    assert data.scaling == "unit"


def test_smallnorb_has_the_first_camera_and_the_category(tmp_path):
    arrays = write_smallnorb(tmp_path)
    prepare("smallnorb", [tmp_path], tmp_path, verify=False)
    data = load("smallnorb", tmp_path)
    np.testing.assert_array_equal(data.x_train[..., 0], arrays["x_train"][:, 0])
    np.testing.assert_array_equal(data.y_test, [4, 0])
    assert data.x_test.shape == (2, 96, 96, 1)


def test_cifar100_has_the_fine_labels_and_channels_last(tmp_path):
    pixels, fine = write_cifar100(tmp_path)
    prepare("cifar100", [tmp_path], tmp_path, verify=False)
    data = load("cifar100", tmp_path)
    np.testing.assert_array_equal(data.x_train, pixels["train"].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.y_train, fine["train"])
    assert data.class_names[99] == "worm"


def test_the_five_files_of_cifar10_are_concatenated_in_order(tmp_path):
    own = images(6, 3, 32, 32)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for label, (name, image) in enumerate(zip(names, own, strict=True)):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            content = bytes([label % 5]) + image.tobytes()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    prepare("cifar10", [tmp_path], tmp_path, verify=False)
    data = load("cifar10", tmp_path)
    np.testing.assert_array_equal(data.y_train, range(5))
    np.testing.assert_array_equal(data.x_test[0], own[5].transpose(1, 2, 0))


def test_mnist_is_made_from_its_four_files(tmp_path):
    own = {"x_train": images(3, 28, 28), "y_train": np.arange(3)}
    own |= {"x_test": images(2, 28, 28), "y_test": np.arange(2)}
    for key, file in IDX.items():
        (tmp_path / file).write_bytes(gzip.compress(idx(own[key])))
    prepare("mnist", [tmp_path / file for file in IDX.values()], tmp_path, verify=False)
    np.testing.assert_array_equal(load("mnist", tmp_path).x_test[..., 0], own["x_test"])


def test_animals10_gets_a_folder_per_class_with_english_names(tmp_path):
    file = io.BytesIO()
    Image.fromarray(images(1, 8, 8, 3)[0]).save(file, "JPEG")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("translate.py", "")
        archive.writestr("../raw-img/cane/../../escaped.jpg", file.getvalue())
        for name in ANIMALS:
            for i in range(5):
                archive.writestr(f"raw-img/{name}/{i}.jpeg", file.getvalue())
    data = tmp_path / "data"
    data.mkdir()
    folder = prepare("animals10", [tmp_path / "archive.zip"], data)
    assert sorted(p.name for p in folder.iterdir()) == sorted(ANIMALS.values())
    assert len(list(data.rglob("*.jp*g"))) == 50
    assert not list(tmp_path.glob("*.jpg"))
    loaded = load("animals10", data, image_size=8)
    assert len(loaded.x_train) == 40 and len(loaded.x_test) == 10
    with pytest.raises(ValueError, match="already exists; delete it"):
        prepare("animals10", [tmp_path / "archive.zip"], data)


def test_an_archive_without_some_of_the_animals_is_refused_and_leaves_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("raw-img/cane/1.jpeg", b"")
    with pytest.raises(ValueError, match="not Animals10: it has no images in raw-img/cavallo"):
        prepare("animals10", [tmp_path], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["archive.zip"]


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path):
    write_emnist(tmp_path)
    found = hashlib.sha256((tmp_path / "gzip.zip").read_bytes()).hexdigest()
    published = DOWNLOADS["emnist"].files["gzip.zip"]
    with pytest.raises(ValueError, match=f"is {found}, expected {published}.*nist.gov"):
        prepare("emnist", [tmp_path], tmp_path)
    assert not (tmp_path / "emnist.npz").exists()


def test_an_error_names_the_files_to_download_and_their_page(tmp_path):
    (tmp_path / "gzip").mkdir()
    with pytest.raises(ValueError, match=r"needs gzip.zip.* from https://www.nist.gov.*gzip$"):
        prepare("emnist", [tmp_path], tmp_path)
    with pytest.raises(ValueError, match=r"run `resbuilder datasets prepare animals10 FILES`"):
        load("animals10", tmp_path)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda content: content[:-5], "has 42 bytes of values, but 6×28×28 values, 4,704 bytes"),
        (lambda content: b"\0\0\x0d" + content[3:], "not an IDX file of unsigned bytes"),
        (lambda content: content[:6], "is incomplete"),
    ],
)
def test_the_error_says_what_is_broken_in_a_file(tmp_path, broken, reason):
    small = idx(images(6, 28, 28)[:, :1, :8])  # The header does not fit the values.
    content = idx(images(6, 28, 28))[:16] + small[16 : 16 + 47]
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
        for member in EMNIST.values():
            archive.writestr(member, gzip.compress(broken(content)))
    with pytest.raises(ValueError, match=reason):
        prepare("emnist", [tmp_path], tmp_path, verify=False)


def test_a_file_that_is_not_an_archive_is_an_error(tmp_path):
    (tmp_path / "gzip.zip").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="cannot be read .*download it again from"):
        prepare("emnist", [tmp_path], tmp_path, verify=False)


def test_an_existing_dataset_is_replaced_only_on_request(tmp_path):
    write_smallnorb(tmp_path)
    path = prepare("smallnorb", [tmp_path], tmp_path, verify=False)
    with pytest.raises(ValueError, match="already exists; give overwrite="):
        prepare("smallnorb", [tmp_path], tmp_path, verify=False)
    prepare("smallnorb", [tmp_path], tmp_path, verify=False, overwrite=True)
    path.write_text("my notes")
    with pytest.raises(ValueError, match="not overwritten"):
        prepare("smallnorb", [tmp_path], tmp_path, verify=False, overwrite=True)
    assert path.read_text() == "my notes"


def test_datasets_prepare_adds_a_dataset_and_datasets_lists_it(tmp_path, monkeypatch):
    write_emnist(tmp_path)
    monkeypatch.setenv("RESBUILDER_DATA", str(tmp_path))
    given = ["datasets", "prepare", "emnist", str(tmp_path / "gzip.zip")]
    refused = CliRunner().invoke(main, given)
    assert refused.exit_code == 2
    assert "is not the published file" in refused.output
    done = CliRunner().invoke(main, [*given, "--no-verify"])
    assert done.exit_code == 0, done.output
    assert "6 training and 3 test images, ready for --dataset emnist" in done.output
    listed = CliRunner().invoke(main, ["datasets"])
    assert str(tmp_path / "emnist.npz") in listed.output
    unknown = CliRunner().invoke(main, ["datasets", "prepare", "imagenet", str(tmp_path)])
    assert unknown.exit_code == 2
    assert "name must be one of mnist, fashion_mnist, emnist" in unknown.output
