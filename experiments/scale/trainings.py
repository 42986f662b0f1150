"""A training of each package, on one device or on several, for :mod:`.mirrored`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from phs_optimizer import PHS
from resbuilder import SearchConfig, build_model, resnet_architecture
from resbuilder.common.strategy import strategy_scope
from resbuilder.training import RegularizedModel, Trainer, TrainingData
from survival.cohort import Cohort
from survival.training import TrainingSettings, train

# 4 devices get 8, 8, 8 and 6 images; of the last batch of an epoch, which has 5, 2, 2, 1 and 0.
BATCH, IMAGES, EPOCHS = 30, 125, 4
ARCHITECTURE = resnet_architecture((8, 8, 1), 10, (6,), (1,), "small")


def phs(strategy: str) -> list[np.ndarray]:
    """Train a network with batch normalization by PHS; return weights, momenta and losses."""
    data = TrainingData.load(SearchConfig(dataset="digits"))
    x, y = data.dataset.x_train[:IMAGES].astype("float32"), data.dataset.y_train[:IMAGES]
    with strategy_scope(strategy, BATCH):
        model = RegularizedModel(build_model(ARCHITECTURE, data.preprocessing, seed=1), {})
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(PHS(0.1, 1.0, 1.0, weight_decay=1e-3, global_clipnorm=0.5), loss)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history
    state = [*model.network.weights, *model.optimizer.momenta]
    return [*map(keras.ops.convert_to_numpy, state), np.array(history["loss"])]


def resbuilder(strategy: str) -> list[np.ndarray]:
    """Train *With Reg* with strong terms; return weights, and losses on all parts of the data."""
    config = SearchConfig(
        dataset="digits",
        train_limit=round(IMAGES / 0.8),
        batch_size=BATCH,
        epochs=EPOCHS,
        lambda_l2=1e-3,
        lambda_morphnet=1e-6,
        lambda_layer=1e-2,
        strategy=strategy,
    )
    trainer = Trainer(ARCHITECTURE, TrainingData.load(config), config, 1, regularized=True)
    record = trainer.fit(seed=1, regularize=True)
    losses = [*record["history"]["loss"], *record["history"]["val_loss"], record["test"]["loss"]]
    return [*map(keras.ops.convert_to_numpy, trainer.network.weights), np.array(losses)]


def survival(strategy: str) -> list[np.ndarray]:
    """Train a Cox network on noise; return weights, losses, and log-hazards of all slides."""
    random = np.random.default_rng(0)
    names = np.array([f"s{i}.svs" for i in range(60)])
    cohort = Cohort(
        names,
        np.array([f"P{i}" for i in range(60)]),
        random.integers(1, 12, 60).astype(float),
        random.random(60) < 0.6,
        split=np.where(np.arange(60) % 3 > 0, "train", "validation"),
    )
    settings = TrainingSettings(
        epochs=EPOCHS,
        batch_size=9,  # 5 batches in an epoch
        width=0.05,
        mean_penalty=0.1,
        ties="efron",
        strategy=strategy,
    )
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder)
        for name in names:
            pixels = random.integers(0, 256, (16, 24, 3), dtype="uint8")
            Image.fromarray(pixels).save(images / name.replace("svs", "png"))
        run = train(cohort, images, images / "run", settings)
        weights = run.model().get_weights()
        history = run.history.drop(columns="seconds").to_numpy()
        return [*weights, history, run.predictions.log_hazard.to_numpy()]


CASES: dict[str, Callable[[str], list[np.ndarray]]] = {
    case.__name__: case for case in (phs, resbuilder, survival)
}


def compare(name: str, devices: int) -> float:
    """Return the largest difference of a case between one device and all; needs a fresh process."""
    import tensorflow as tf

    keras.config.set_dtype_policy("float64")
    # Otherwise, GPUs multiply float32 numbers with 10 bits of precision.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if not tf.config.list_physical_devices("GPU"):
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
    pairs = zip(CASES[name]("one_device"), CASES[name]("mirrored"), strict=True)
    return max(float(np.abs(one - many).max()) for one, many in pairs)
