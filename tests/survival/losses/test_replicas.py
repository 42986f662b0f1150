"""On several devices, risk sets are those of the whole batch."""

import os
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)

# In a separate process: logical devices must be configured first, and TensorFlow's collectives
# fail with a second strategy.
PROGRAM = """
import keras
import numpy as np
import tensorflow as tf

from survival import CoxPHLoss
from survival.losses import LargeBatchModel

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

random = np.random.default_rng(0)
rows = 17  # batches of 8, 8 and 1: the second device gets no row of the last
x = random.normal(size=(rows, 5)).astype("float32")
y = np.stack([random.integers(0, 6, rows), np.arange(rows) % 3 > 0, np.arange(rows) % 2], axis=1)
present = np.ones(rows, "float32")
present[3:5] = 0


late = np.column_stack([y, np.ones(rows), np.where(np.arange(rows) % 2, y[:, 0] / 2, 0)])


def trained(wrap, y=y):
    keras.utils.set_random_seed(1)
    regularizer = keras.regularizers.L2(0.01)
    network = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, "tanh", kernel_regularizer=regularizer),
            keras.layers.Dense(1),
        ]
    )
    model = wrap(network)
    model.compile(keras.optimizers.SGD(0.5), CoxPHLoss("efron", mean_penalty=0.1))
    history = model.fit(
        x, y, sample_weight=present, batch_size=8, epochs=2, shuffle=False, verbose=0
    )
    return [np.array(history.history["loss"]), *network.get_weights()]


expected = trained(lambda network: network)
for wrap in (lambda network: network, lambda network: LargeBatchModel(network, 2)):
    with strategy.scope():
        found = trained(wrap)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
expected = trained(lambda network: network, late)
with strategy.scope():
    found = trained(lambda network: network, late)
for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
print("equal")
"""


@pytest.mark.slow
def test_two_devices_train_like_one():
    """Compare losses and weights, with ties, strata, masked rows, micro-batches, late entries."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("equal\n")
