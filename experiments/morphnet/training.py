"""One training with or without MorphNet's term: the channels it leaves, and its history."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np

from experiments.morphnet.network import LAYERS, network
from resbuilder.datasets import Split, load
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.training.regularized import NEEDS_JIT, RegularizedModel

#: Defaults that a job may change in its ``"setting"``.
SETTING = {
    "normalized": False,
    "threshold": 1e-3,
    "learning_rate": 1e-3,
}
STEPS_PER_EXECUTION = 10
# During training, records use every tenth test image: all of them would cost a tenth of the time.
RECORDED = slice(None, None, 10)


@cache
def parts(dataset: str, data_dir: str | None, limit: int | None) -> dict[str, tuple]:
    """Return images, scaled to [0, 1], and labels of the training, validation and test parts.

    A sixth of the training images is held out for validation (10,000 of MNIST's 60,000), the same
    for every seed.
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


def train(
    job: dict,
    widths: tuple[int, ...],
    epochs: int,
    strength: float = 0.0,
    record_every: int | None = None,
) -> dict:
    """Train a network from random initialization.

    Args:
        job: ``dataset``, ``data_dir``, ``limit`` (number of training and validation images, None
            for all), ``batch_size``, ``seed`` (of the initialization and of the order of the
            images), and optionally ``setting``: changes to :data:`SETTING`.
        widths: Channels of the two convolutions, and units of the dense layer if there is one.
        epochs: Number of epochs.
        strength: λ of MorphNet's term on FLOPs.
        record_every: Steps between two records of ``history``, a multiple of 10; None for none.

    Returns:
        ``widths``; ``flops`` of the network for one image; ``alive``: number of alive channels of
        each layer at the end; ``validation`` and ``test``: accuracies; ``validation_loss`` and
        ``test_loss``, without the term; ``history``: see :class:`Recorder`.
    """
    keras.backend.clear_session()  # a job is up to twenty trainings
    keras.utils.set_random_seed(job["seed"])
    setting = SETTING | job.get("setting", {})
    model = network(widths, setting["normalized"])
    morphnet = MorphNetRegularizer(model, "group_lasso", threshold=setting["threshold"])
    flops = int(morphnet.exact_cost())
    trainer = RegularizedModel(model, {"morphnet": morphnet.regularization_term})
    trainer.set_strengths(morphnet=strength)
    trainer.compile(
        keras.optimizers.Adam(setting["learning_rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=NEEDS_JIT,
    )
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    test = tuple(values[RECORDED] for values in data["test"])
    recorder = Recorder(morphnet, strength, test, record_every)
    trainer.fit(
        *data["train"],
        batch_size=job["batch_size"],
        epochs=epochs,
        verbose=0,
        callbacks=[recorder] if record_every else [],
    )
    result = {
        "widths": widths,
        "flops": flops,
        "alive": alive_widths(morphnet),
        "history": recorder.history,
    }
    for part in ("validation", "test"):
        loss, accuracy = trainer.evaluate(*data[part], batch_size=1000, verbose=0)
        result |= {part: accuracy, f"{part}_loss": loss}
    return result


def alive_widths(morphnet: MorphNetRegularizer) -> tuple[int, ...]:
    """Return the number of alive channels of each layer: the widths that MorphNet suggests."""
    alive = morphnet.alive()
    return tuple(int(alive[name].sum()) for name in LAYERS if name in alive)


class Recorder(keras.callbacks.Callback):
    """Keeps a record before the first step, after every ``every`` steps, and after the last.

    Attributes:
        history: Records with ``step``; ``error`` and ``loss`` (without the term) on test images;
            ``term``, multiplied by λ; ``alive``: widths; ``flops`` of a network with these widths.
    """

    def __init__(self, morphnet: MorphNetRegularizer, strength: float, test: tuple, every):
        super().__init__()
        if every and every % STEPS_PER_EXECUTION:
            raise ValueError(
                f"steps between records must be a multiple of {STEPS_PER_EXECUTION}, got {every}"
            )
        self.morphnet, self.strength, self.test, self.every = morphnet, strength, test, every
        self.history: list[dict] = []
        self.before = 0  # steps of the epochs before this one

    def on_train_begin(self, logs=None):
        self.record(0)

    def on_train_batch_end(self, batch, logs=None):
        # Keras does ten steps at once, and counts ten for the last, shorter group of an epoch.
        step = self.before + min(batch + 1, self.params["steps"])
        if step - self.history[-1]["step"] >= self.every:
            self.record(step)

    def on_epoch_end(self, epoch, logs=None):
        self.before += self.params["steps"]

    def on_train_end(self, logs=None):
        if self.history[-1]["step"] < self.before:
            self.record(self.before)

    def record(self, step: int) -> None:
        """Append a record of the current model."""
        loss, accuracy = self.model.evaluate(*self.test, batch_size=1000, verbose=0)
        self.history.append(
            {
                "step": step,
                "error": 1 - accuracy,
                "loss": loss,
                "term": self.strength * float(self.morphnet.regularization_term()),
                "alive": alive_widths(self.morphnet),
                "flops": int(self.morphnet.exact_cost()),
            }
        )
