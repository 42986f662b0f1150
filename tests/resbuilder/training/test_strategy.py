"""``strategy="mirrored"``: several devices train like one, or an error says why they cannot."""

import os
import subprocess
import sys

import keras
import pytest

from resbuilder import SearchConfig, TrainConfig
from resbuilder.common.strategy import strategy_scope

# In a separate process: logical devices must be set before TensorFlow starts, and TensorFlow's
# collectives break with a second strategy.
PROGRAM = """
import sys
from pathlib import Path
import keras
from experiments.scale.trainings import ARCHITECTURE, compare
from resbuilder import TrainConfig
from resbuilder.common.strategy import strategy_scope
from resbuilder.training import Trainer, TrainingData

case, devices, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
print("difference:", compare(case, devices))
config = TrainConfig(dataset="digits", strategy="mirrored")
trainer = Trainer(ARCHITECTURE, TrainingData.load(config), config, 1, regularized=False)
trainer.save(file)
network = keras.models.load_model(file)
kind = keras.layers.BatchNormalization
assert not any(layer.synchronized for layer in network.layers if isinstance(layer, kind))
for one, other in zip(network.get_weights(), trainer.network.get_weights(), strict=True):
    assert (one == other).all()
try:
    strategy_scope("mirrored", devices - 1)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
@pytest.mark.parametrize(("case", "devices"), [("resbuilder", 2), ("resbuilder", 4), ("phs", 4)])
@pytest.mark.slow
def test_devices_train_like_one(case, devices, request, tmp_path):
    """Covers batch normalization, all terms, and batches that leave a device without rows.

    The saved file is plain, and a batch smaller than the number of devices is refused.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, case, str(devices), tmp_path / "network.keras"],
        capture_output=True,
        text=True,
        cwd=request.config.rootpath,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    difference, refusal = done.stdout.splitlines()[-2:]
    assert float(difference.removeprefix("difference: ")) < 1e-5
    assert f"a batch of {devices - 1} cannot be divided among {devices} devices" in refusal


@pytest.mark.any_backend
def test_other_backends_are_refused_before_anything_is_written():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has the strategy")
    config = TrainConfig(dataset="digits", strategy="mirrored")
    with pytest.raises(ValueError, match=f"Keras runs on {keras.backend.backend()}; set KERAS"):
        config.resolved()
    with strategy_scope("one_device", 1):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jit_compile": True}, "leave jit_compile out"),
        ({"engine": "google"}, "one device"),
        ({"strategy": "several"}, "strategy must be one of"),
    ],
)
def test_settings_that_do_not_work_with_it_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig(**{"dataset": "digits", "strategy": "mirrored"} | settings)
