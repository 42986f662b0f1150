"""Model files from other people: a bad one is refused with a clear error, and no code is run."""

import io
import json
import sys
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from resbuilder import (
    SearchConfig,
    TrainConfig,
    build_model,
    minimal_architecture,
    resume,
    search,
)
from resbuilder.evaluation import evaluate
from resbuilder.single import load_model, train
from resbuilder.start_network import start_architecture
from resbuilder.training import TrainingData
from tests.faults.archives import broken_model, packed, with_code


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best.keras"
    build_model(minimal_architecture((8, 8, 1), 3, width=2, stages=2)).save(path)
    return path


@pytest.fixture(scope="module")
def members(model_file):
    with zipfile.ZipFile(io.BytesIO(model_file.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_code_in_a_model_is_refused_and_never_executed(members, tmp_path):
    path, trace = tmp_path / "given.keras", tmp_path / "trace"
    path.write_bytes(packed(members | {"config.json": with_code(members["config.json"], trace)}))
    with pytest.raises(ValueError, match="given.keras .* holds code of its own .a Lambda layer"):
        load_model(path)
    inputs = keras.Input((4,))
    lambdas = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    lambdas.save(tmp_path / "given.h5")
    with pytest.raises(ValueError, match="given.h5 .* holds code of its own"):
        load_model(tmp_path / "given.h5")
    assert not trace.exists()


def test_a_model_cannot_make_us_import_a_module(members, tmp_path):
    path = tmp_path / "given.keras"
    for place in ("model", "layer"):
        config = json.loads(members["config.json"])
        target = config if place == "model" else config["config"]["layers"][1]
        target |= {"module": "this", "class_name": "s"}
        path.write_bytes(packed(members | {"config.json": json.dumps(config).encode()}))
        with pytest.raises(ValueError, match="given.keras is not a Keras model"):
            load_model(path)
    assert "this" not in sys.modules


def test_the_error_names_a_damaged_model(model_file, tmp_path):
    path, whole, refused = tmp_path / "given.keras", model_file.read_bytes(), 0
    random = np.random.default_rng(0)
    for _ in range(30):
        path.write_bytes(broken_model(whole, random, tmp_path / "trace")[1])
        try:
            load_model(path)
        except ValueError as error:
            refused += 1
            assert "given.keras" in str(error) and "\n" not in str(error)
    assert refused > 10


def test_settings_of_a_search_are_refused_by_a_training_and_the_other_way_round(tmp_path):
    with pytest.raises(ValueError, match="train takes a TrainConfig, got a SearchConfig"):
        train(SearchConfig(dataset="digits", flops=1e5), tmp_path / "run")
    with pytest.raises(ValueError, match="a search takes a SearchConfig, got TrainConfig"):
        search(TrainConfig(dataset="digits"), tmp_path / "run")
    with pytest.raises(ValueError, match="flops must be a positive number of FLOPs, got '1e6'"):
        train(TrainConfig(dataset="digits"), tmp_path / "run", flops="1e6")
    assert not list(tmp_path.iterdir())


def test_a_file_as_start_has_the_order_of_the_settings(tmp_path):
    other = minimal_architecture((8, 8, 1), 10, width=2, stages=2, block_order="bn_conv_relu")
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other.to_json()))
    config = TrainConfig(dataset="digits", start=str(path))
    data = TrainingData.load(config).dataset
    with pytest.raises(ValueError, match="have the order 'bn_conv_relu', but block_order is"):
        start_architecture(config, data)
    same_order = replace(config, block_order="bn_conv_relu")
    assert start_architecture(same_order, data).block_order == "bn_conv_relu"


def test_a_diverged_network_has_no_accuracy(tmp_path):
    """The largest of NaN logits would be class 0."""
    config = TrainConfig(
        dataset="digits", train_limit=60, epochs=1, width=2, stages=1, learning_rate=1e30
    )
    with pytest.raises(ValueError, match="the training diverged"):
        train(config, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    nothing = {"accuracy": None, "loss": None, "balanced_accuracy": None}
    assert result["finite"] is False
    assert result["validation"] == nothing and result["test"] == nothing
    network = build_model(minimal_architecture((8, 8, 1), 10, width=2, stages=1))
    network.set_weights([np.full(w.shape, np.nan, "float32") for w in network.weights])
    network.save(tmp_path / "broken.keras")
    with pytest.raises(ValueError, match="its outputs are not finite; probably its training"):
        evaluate(tmp_path / "broken.keras", "test", "digits")


def test_a_search_keeps_the_users_precision_and_is_resumed_with_it_only(tmp_path):
    small = {"dataset": "digits", "train_limit": 60, "epochs": 1, "width": 2, "stages": 1}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        search(SearchConfig(**small, rounds=0, flops=3e4), tmp_path / "run")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        network = load_model(tmp_path / "run")
        convolution = next(x for x in network.layers if isinstance(x, keras.layers.Conv2D))
        assert convolution.dtype_policy.name == "mixed_bfloat16"
        keras.config.set_dtype_policy("float32")
        with pytest.raises(ValueError, match="precision mixed_bfloat16, but here it is float32"):
            resume(tmp_path / "run")
    finally:
        keras.config.set_dtype_policy(before)


def painted(folder, classes, size=8):
    for label, name in enumerate(classes):
        for number in range(10):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            color = (20 * number, 80 * label, 99)
            Image.new("RGB", (size, size), color).save(path)
    return folder


def test_a_share_of_validation_images_is_refused_if_the_folder_has_them(tmp_path):
    for part, size in (("train", 8), ("val", 9)):
        painted(tmp_path / "animals" / part, ("cat", "dog"), size)
    settings = {"dataset": str(tmp_path / "animals"), "image_size": "8", "epochs": 1, "width": 2}
    with pytest.raises(ValueError, match="validation_fraction has no effect: animals has a folder"):
        train(TrainConfig(**settings, validation_fraction=0.4), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(TrainConfig(**settings), tmp_path / "run")


def test_a_run_inside_the_folder_of_its_images_is_refused(tmp_path):
    folder = painted(tmp_path / "animals", ("cat", "dog"))
    config = TrainConfig(dataset=str(folder), epochs=1, width=2, start="rb-0net")
    for out in (folder / "runs" / "mine", folder / "mine"):
        with pytest.raises(ValueError, match="must not be in the folder of the images"):
            train(config, out)
    assert sorted(path.name for path in folder.iterdir()) == ["cat", "dog"]
