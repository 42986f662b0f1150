"""The names and the list of datasets, and what `load` refuses."""

import numpy as np
import pytest

from resbuilder import SearchConfig
from resbuilder.datasets import available, check_found, load, names


def test_the_list_describes_every_known_dataset():
    records = available()
    assert [record.name for record in records] == list(names())
    described = {record.name: record for record in records}
    assert described["digits"].where == "scikit-learn"
    emnist = described["emnist"]
    assert (emnist.train, emnist.test, emnist.classes) == (697_932, 116_323, 62)


def test_the_listing_of_digits_is_correct():
    record, data = available()[0], load("digits")
    assert (record.train, record.test) == (len(data.y_train), len(data.y_test))
    assert (record.shape, record.classes) == (data.input_shape, data.classes)


def test_a_name_that_is_too_long_for_a_file_is_unknown(tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(ValueError, match="unknown dataset 'ddd"):
            check_found("d" * 300, folder)
    with pytest.raises(ValueError, match="is not a folder"):
        check_found("digits", tmp_path / ("d" * 300))
    long = SearchConfig(dataset="digits", method="race", contenders="d" * 300)
    assert long.resolved().contender_names == ("d" * 300,)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset .* digits, mnist, .* animals10"):
        load("imagenet", tmp_path)
    with pytest.raises(ValueError, match="'cifar1O'; did you mean cifar10"):
        load("cifar1O", tmp_path)
    (tmp_path / "flowers").mkdir()
    with pytest.raises(ValueError, match="'flower'; did you mean flowers"):
        load("flower", tmp_path)


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such folder: no/such/folder"):
        load("no/such/folder", tmp_path)
    with pytest.raises(ValueError, match=f"no such file: {tmp_path}/missing.npz"):
        load(tmp_path / "missing.npz")


def test_a_missing_data_folder_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="data_dir is .*nowhere, which is not a folder"):
        load("digits", tmp_path / "nowhere")
    monkeypatch.setenv("RESBUILDER_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="RESBUILDER_DATA is .*nowhere"):
        available()


def test_image_size_is_for_folders_only(tmp_path):
    with pytest.raises(ValueError, match="image_size is for folders of images, but digits is"):
        load("digits", image_size=16)
    labels = np.arange(4) % 2
    images = np.zeros((4, 5, 5), np.uint8)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "cells.npz", **arrays)
    with pytest.raises(ValueError, match="image_size is for folders of images, but cells is"):
        load("cells", tmp_path, image_size=16)


def test_a_folder_with_the_name_of_a_known_dataset_is_mentioned(tmp_path, monkeypatch):
    (tmp_path / "digits" / "cat").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"digits is a dataset that resbuilder knows; for the fol"):
        assert load("digits").classes == 10
