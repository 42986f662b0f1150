"""``strategy="mirrored"``: slides on several devices are compared as on one."""

import os
import subprocess
import sys

import keras
import pytest

from resbuilder.common.strategy import devices, strategy_scope
from survival.training import TrainingSettings

# In a separate process: logical devices must be configured first, and TensorFlow's collectives
# fail with a second strategy.
PROGRAM = """
import sys
from experiments.scale.trainings import compare
from resbuilder.common.strategy import devices

number = int(sys.argv[1])
print("difference:", compare("survival", number))
try:
    devices("mirrored", number - 1)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.slow
def test_devices_train_like_one(number, request):
    """Compare weights, history and predictions for batches of up to 9 slides on 2 and 4 devices."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(number)],
        capture_output=True,
        text=True,
        cwd=request.config.rootpath,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    difference, refusal = done.stdout.splitlines()[-2:]
    assert float(difference.removeprefix("difference: ")) < 1e-5
    assert f"batch of {number - 1} cannot be divided among {number} devices" in refusal


@pytest.mark.any_backend
def test_other_backends_are_refused():
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has the strategy")
    with pytest.raises(ValueError, match=f"Keras runs on {keras.backend.backend()}; set KERAS"):
        devices("mirrored", 5)
    assert devices("one_device", 1) == 1
    with strategy_scope("one_device", 1):
        pass


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="strategy must be one of one_device, mirrored"):
        TrainingSettings(strategy="several")
