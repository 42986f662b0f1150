"""Model files from other people: a bad one is refused with a clear error, and no code is run."""

import io
import json
import sys
import zipfile

import keras
import numpy as np
import pytest

from resbuilder import build_model, minimal_architecture
from resbuilder.single import load_model
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
