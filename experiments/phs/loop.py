"""A training loop for many small trainings: twice as fast as Keras' fit at small batches.

Optimizer, callbacks and model are the shipped ones; only the loop around them is different. It
runs a chunk of steps in one TensorFlow call, on data that is already in memory. A test compares it
with ``model.fit``. A training can be saved as a snapshot at any point and continue from there, so
trainings that differ only in how they brake share everything before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np


class Data(NamedTuple):
    """Images (n, height, width, channels), float32, and labels (n,) of one part."""

    x: np.ndarray
    y: np.ndarray


@dataclass
class Snapshot:
    """The state of an unfinished training: its position, and all numbers of model and optimizer."""

    epoch: int
    step: int
    sums: np.ndarray
    history: list[dict]
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]


class Loop:
    """One training that can stop and continue after any chunk of steps.

    Args:
        model: A built Keras model from images to logits.
        optimizer: A Keras optimizer.
        parts: ``train``, ``validation`` and ``test`` data.
        batch_size: Images in a step. A last, smaller batch is left out.
        seed: Seed of the order of the images, which changes with every epoch.
        chunk: Steps in one call, hence between two calls of the callbacks.
        evaluate_every: Epochs between two evaluations; the last epoch is always evaluated.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        parts: dict[str, Data],
        batch_size: int,
        seed: int,
        chunk: int = 25,
        evaluate_every: int = 1,
    ):
        import tensorflow as tf

        self.model, self.optimizer = model, optimizer
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(model.trainable_variables)
        self.parts, self.batch_size, self.seed, self.chunk = parts, batch_size, seed, chunk
        self.evaluate_every = evaluate_every
        self.steps_per_epoch = len(parts["train"].y) // batch_size
        self.epoch, self.step = 0, 0
        self.sums = np.zeros(2)  # of losses and correct predictions in this epoch
        self.history: list[dict] = []
        self.diverged = False  # whether the last epoch's loss is not finite
        # Arguments, because TensorFlow may never free what the graph of a loop captures.
        self._train = tuple(tf.constant(array) for array in parts["train"])

        @tf.function(reduce_retracing=True)
        def steps(x, y, order):
            totals = tf.zeros(2)
            for i in tf.range(tf.shape(order)[0]):
                images, labels = tf.gather(x, order[i]), tf.gather(y, order[i])
                with tf.GradientTape() as tape:
                    logits = model(images, training=True)
                    loss = tf.reduce_mean(
                        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                    )
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply(gradients, model.trainable_variables)
                right = tf.argmax(logits, 1, tf.int32) == labels
                totals += tf.stack([loss, tf.reduce_mean(tf.cast(right, tf.float32))])
            return totals

        @tf.function(reduce_retracing=True)
        def judge(images, labels):
            logits = model(images, training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            right = tf.argmax(logits, 1, tf.int32) == labels
            return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.float32))])

        self._steps, self._judge = steps, judge

    def run(
        self,
        epochs: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        each_epoch: Callable[[], None] | None = None,
        last_epoch: Callable[[], float] | None = None,
    ) -> list[dict]:
        """Train until ``epochs`` are done, or the loss is not finite.

        Args:
            epochs: Epochs of the whole training, including those before this call.
            callbacks: Keras callbacks. They see the mean loss of a chunk after it, and, as in
                ``fit``, the validation loss at the end of an evaluated epoch.
            each_epoch: Called after every epoch, when a :meth:`snapshot` may be taken.
            last_epoch: Returns an earlier last epoch once it is known, else infinity.

        Returns:
            One dict for each evaluated epoch: its number, from 1; loss and accuracy in training
            (running means), on validation data and on test data.
        """

        def end() -> float:
            return min(epochs, last_epoch()) if last_epoch else epochs

        watching = keras.callbacks.CallbackList(
            list(callbacks), model=self.model, steps=None, epochs=epochs
        )
        watching.on_train_begin()
        while self.epoch < end() and not self.diverged:
            watching.on_epoch_begin(self.epoch)
            rng = np.random.default_rng((self.seed, self.epoch))
            order = rng.permutation(len(self.parts["train"].y)).astype(np.int32)
            order = order[: self.steps_per_epoch * self.batch_size].reshape(-1, self.batch_size)
            while self.step < self.steps_per_epoch:
                these = order[self.step : self.step + self.chunk]
                sums = self._steps(*self._train, these).numpy().astype(float)
                self.sums += sums
                self.step += len(these)
                watching.on_train_batch_end(self.step - 1, {"loss": sums[0] / len(these)})
            loss, accuracy = self.sums / self.steps_per_epoch
            logs = {"loss": float(loss), "accuracy": float(accuracy)}
            number = self.epoch + 1
            self.diverged = not np.isfinite(loss)
            evaluated = number % self.evaluate_every == 0 or number >= end() or self.diverged
            if evaluated:
                for part, prefix in (("validation", "val_"), ("test", "test_")):
                    logs |= {prefix + k: v for k, v in self.evaluate(self.parts[part]).items()}
            watching.on_epoch_end(self.epoch, dict(logs))
            if evaluated:
                self.history.append({"epoch": number} | logs)
            self.epoch, self.step, self.sums = number, 0, np.zeros(2)
            if each_epoch:
                each_epoch()
        watching.on_train_end()
        return self.history

    def evaluate(self, data: Data) -> dict:
        """Return mean loss and accuracy on ``data``."""
        sums = sum(
            self._judge(data.x[i : i + 1000], data.y[i : i + 1000]).numpy()
            for i in range(0, len(data.y), 1000)
        )
        return {"loss": float(sums[0] / len(data.y)), "accuracy": float(sums[1] / len(data.y))}

    def snapshot(self) -> Snapshot:
        """Return all that is needed to continue from here."""
        return Snapshot(
            self.epoch,
            self.step,
            self.sums.copy(),
            list(self.history),
            [v.numpy() for v in self.model.variables],
            [v.numpy() for v in self.optimizer.variables],
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Set model, optimizer and position to a snapshot of the same model and optimizer."""
        self.epoch, self.step = snapshot.epoch, snapshot.step
        self.sums, self.history = snapshot.sums.copy(), list(snapshot.history)
        self.diverged = False
        for variable, value in zip(self.model.variables, snapshot.weights, strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, snapshot.optimizer, strict=True):
            variable.assign(value)
