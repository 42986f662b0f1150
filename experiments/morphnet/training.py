"""One training with or without MorphNet's term, and which channels it leaves alive."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np

from experiments.morphnet.network import CONVOLUTIONS, flops, network
from resbuilder.datasets import Split, load
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.training.regularized import RegularizedModel

LEARNING_RATE, THRESHOLD = 1e-3, 1e-2


@cache
def parts(dataset: str, data_dir: str | None, limit: int | None) -> dict[str, tuple]:
    """Images, scaled to [0, 1], and labels of the training, validation and test part.

    A sixth of the training images validates (10,000 of MNIST's 60,000), the same for every seed.
    """
    data = load(dataset, data_dir)
    split = Split.stratified(data.y_train, fraction=1 / 6, limit=limit)

    def scaled(x, y, indices=slice(None)):
        return x[indices] / np.float32(255), y[indices]

    return {
        "train": scaled(data.x_train, data.y_train, split.train),
        "validation": scaled(data.x_train, data.y_train, split.validation),
        "test": scaled(data.x_test, data.y_test),
    }


def train(job: dict, widths: tuple[int, int], epochs: int, strength: float = 0.0) -> dict:
    """Trains a network from random initialisation.

    Args:
        job: ``dataset``, ``data_dir``, ``limit`` (training images with those that validate, None
            for all), ``batch_size``, and ``seed`` of the initialisation and of the order of the
            images.
        widths: Channels of the two convolutions.
        epochs: Epochs.
        strength: λ of MorphNet's term (group lasso on FLOPs).

    Returns:
        ``widths``, ``flops`` of the network for one image, ``validation`` and ``test`` accuracy,
        and ``alive``: how many channels of each convolution are alive at the end.
    """
    keras.backend.clear_session()  # a job is up to twenty trainings
    keras.utils.set_random_seed(job["seed"])
    model = network(widths)
    morphnet = MorphNetRegularizer(model, threshold=THRESHOLD)
    trainer = RegularizedModel(model, {"morphnet": morphnet.regularization_term})
    trainer.set_strengths(morphnet=strength)
    trainer.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=10,
        jit_compile=False,
    )
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    trainer.fit(*data["train"], batch_size=job["batch_size"], epochs=epochs, verbose=0)
    alive = morphnet.alive()
    return {
        "widths": widths,
        "flops": flops(widths),
        "alive": tuple(int(alive[name].sum()) for name in CONVOLUTIONS),
    } | {
        part: trainer.evaluate(*data[part], batch_size=1000, verbose=0)[1]
        for part in ("validation", "test")
    }
