"""`<name>.npz` files: they are used first, checked, and may not contain Python objects."""

import pickle

import numpy as np
import pytest

from resbuilder.datasets import available, load
from tests.faults.archives import Payload, _npy, broken_npz, packed


def arrays(classes=3, **changes):
    rng = np.random.default_rng(0)
    given = {
        "x_train": rng.integers(0, 256, (12, 6, 6), np.uint8),
        "y_train": np.arange(12)[:, None] % classes,
        "x_test": rng.integers(0, 256, (6, 6, 6), np.uint8),
        "y_test": np.arange(6)[:, None] % classes,
    }
    return {**given, **changes}


def test_own_data_is_loaded_by_name_or_path(tmp_path):
    given = arrays()
    np.savez(tmp_path / "cells.npz", **given)
    for data in (load("cells", tmp_path), load(tmp_path / "cells.npz")):
        assert data.name == "cells" and data.scaling == "standardize"
        assert np.array_equal(data.x_train[..., 0], given["x_train"])
        assert data.y_train.shape == (12,) and data.class_names == ("0", "1", "2")


def test_own_class_names_are_used(tmp_path):
    np.savez(tmp_path / "cells.npz", class_names=["naevus", "melanoma", "other"], **arrays())
    assert load("cells", tmp_path).class_names == ("naevus", "melanoma", "other")


@pytest.mark.parametrize("name", ["mnist", "emnist", "smallnorb", "animals10", "cifar100"])
def test_a_known_name_in_the_data_folder_needs_no_download(name, tmp_path, monkeypatch):
    given = arrays(classes=5)
    np.savez(tmp_path / f"{name}.npz", **given)
    monkeypatch.setenv("RESBUILDER_DATA", str(tmp_path))
    data = load(name)
    assert data.name == name
    assert np.array_equal(data.x_test[..., 0], given["x_test"]), "as stored, also for EMNIST"
    where = {record.name: record.where for record in available()}
    assert where[name] == str(tmp_path / f"{name}.npz")


def test_labels_are_checked_against_the_known_classes(tmp_path):
    np.savez(tmp_path / "mnist.npz", **arrays(y_test=np.full(6, 10)))
    with pytest.raises(ValueError, match="has the label 10, which is out of range; expected 0..9"):
        load("mnist", tmp_path)


def test_missing_arrays_are_named(tmp_path):
    given = arrays()
    del given["y_test"], given["x_test"]
    np.savez(tmp_path / "cells.npz", **given)
    with pytest.raises(ValueError, match="cells.npz .* x_test, y_test are missing"):
        load("cells", tmp_path)


def test_python_objects_are_refused(tmp_path):
    np.savez(tmp_path / "cells.npz", **arrays(y_train=np.array([{}] * 12)))
    with pytest.raises(ValueError, match="cells.npz cannot be used .* allow_pickle=False"):
        load("cells", tmp_path)


def test_nothing_in_a_file_is_unpickled(tmp_path):
    """Neither an array of objects, nor a member that is a pickle, nor a file that is a pickle."""
    trace, path = tmp_path / "trace", tmp_path / "cells.npz"
    payload = pickle.dumps(Payload(trace))
    for file in ({"x_train.npy": payload}, {"y_train": payload}, {"class_names": payload}):
        whole = {f"{name}.npy": _npy(array) for name, array in arrays().items()}
        (name,) = file
        whole.pop(f"{name.removesuffix('.npy')}.npy", None)
        path.write_bytes(packed(whole | file))
        with pytest.raises(ValueError, match="cells.npz cannot be used"):
            load(path)
    path.write_bytes(payload)
    with pytest.raises(ValueError, match="not an npz archive"):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize("seed", range(3))
def test_unusual_archives_are_refused_with_a_clear_error(seed, tmp_path):
    """Encrypted members, claims of terabytes, strings: numpy raises all sorts of exceptions."""
    random, path, refused = np.random.default_rng(seed), tmp_path / "cells.npz", 0
    for _ in range(40):
        what, content = broken_npz(random, tmp_path / "trace")
        path.write_bytes(content)
        try:
            load(path)
        except ValueError as error:
            refused += 1
            assert "cells" in str(error), what
    assert refused > 20 and not (tmp_path / "trace").exists()


def test_class_names_must_be_a_list_of_strings(tmp_path):
    for wrong in (np.array(3), np.array([["a"], ["b"], ["c"]]), np.arange(3)):
        np.savez(tmp_path / "cells.npz", class_names=wrong, **arrays())
        with pytest.raises(ValueError, match="class_names must be strings of shape .classes,."):
            load("cells", tmp_path)


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    for content in (b"", b"not an archive", b"\x93NUMPY garbage"):
        (tmp_path / "cells.npz").write_bytes(content)
        with pytest.raises(ValueError, match="cells.npz cannot be used .* not an npz archive"):
            load("cells", tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_is_an_error_or_does_not_change_the_arrays(save, tmp_path):
    """Cuts and flipped bytes all over the file: a clear ValueError, or no harm in unused bytes."""
    path = tmp_path / "cells.npz"
    save(path, **arrays())
    whole, good = path.read_bytes(), load(path)
    damaged = [whole[:cut] for cut in range(0, len(whole), len(whole) // 25)]
    for at in range(0, len(whole), len(whole) // 50):
        damaged.append(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            data = load(path)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert np.array_equal(data.x_train, good.x_train)
            assert np.array_equal(data.y_test, good.y_test)
    assert refused > len(damaged) // 2
