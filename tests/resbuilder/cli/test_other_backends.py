"""The command line on every backend."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resbuilder.cli import main


@pytest.mark.any_backend
def test_a_network_is_trained_evaluated_and_classifies_a_file(tmp_path):
    def call(*arguments):
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    run = tmp_path / "run"
    for n in range(40):
        folder = tmp_path / "photographs" / ("light", "dark")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), 200 - 150 * (n % 2) + n, "uint8")
        Image.fromarray(pixels).save(folder / f"{n}.png")
    size = ("--image-size", 8, "--width", 2, "--stages", 1, "--epochs", 1)
    call("train", "--dataset", tmp_path / "photographs", *size, "--out", run)
    result = json.loads(call("evaluate", run, "--json"))
    assert 0 <= result["accuracy"] <= 1 and result["split"] == "test"
    (found,) = json.loads(call("predict", run, folder / f"{n}.png", "--json"))
    assert set(found["probabilities"]) == {"light", "dark"}
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert found["class"] == max(found["probabilities"], key=found["probabilities"].get)
