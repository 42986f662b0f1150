"""A thin trainer model that adds regularization terms to the loss of the network it wraps.

Only the trainer has the terms. The network stays a plain functional model, so checkpoints and
exported files do not contain them, and ``evaluate`` reports the task loss alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

import keras
import numpy as np
from keras import ops, tree

from resbuilder.common.strategy import gather, replicas
from resbuilder.training.averaging import AveragedWeights
from resbuilder.training.replicas import call_part, normalize_together
from resbuilder.training.schedule import RateSchedule

#: Whether steps must be compiled with XLA to be fast: without it, Keras executes each operation of
#: a step alone on JAX, which takes 17 times as long.
NEEDS_JIT = keras.backend.backend() == "jax"


class RegularizedModel(keras.Model):
    """Trains ``network`` on its task loss plus Σ λ·term.

    If it is created in the scope of a ``tf.distribute.MirroredStrategy``, the training computes the
    same as on one device: batch normalization uses the statistics of the whole batch, the loss is
    the mean over the whole batch however it is divided, and the terms count once.

    Args:
        network: The functional model to train; its weights are shared, not copied.
        terms: Functions without arguments that return a scalar tensor computed from the network's
            variables, such as ``MorphNetRegularizer(...).regularization_term``.
        label_smoothing: ε, the fraction of each label that is spread over all classes, in training
            only. ``y`` must be class numbers, and ``y_pred`` logits.
        schedule: Sets the optimizer's learning rate before each step; None leaves it unchanged.
        ema: Decay of the averaged weights (:class:`.averaging.AveragedWeights`); None for no
            averaging.
        class_weights: Weight of each class in the task loss, in training only, shape (classes,);
            ``y`` must be class numbers. None weights all classes equally.

    Attributes:
        averages: The averaged weights, or None.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from resbuilder import build_model, minimal_architecture
        >>> from resbuilder.morphnet import MorphNetRegularizer
        >>> digits = load_digits()
        >>> network = build_model(minimal_architecture((8, 8, 1), classes=10, width=4))
        >>> regularizer = MorphNetRegularizer(network)
        >>> model = RegularizedModel(network, {"morphnet": regularizer.regularization_term})
        >>> model.set_strengths(morphnet=1e-7)
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> history = model.fit(digits.images[..., None], digits.target, verbose=0)
        >>> network.save("network.keras")
    """

    def __init__(
        self,
        network: keras.Model,
        terms: Mapping[str, Callable[[], object]],
        label_smoothing: float = 0.0,
        schedule: RateSchedule | None = None,
        ema: float | None = None,
        class_weights: np.ndarray | None = None,
    ):
        # torch allows no dot in a module's name, but keras.applications has mobilenet_1.00_224.
        super().__init__(name=f"regularized_{network.name}".replace(".", "_"))
        self.network = network
        if hasattr(network, "output_names"):  # for losses and metrics by the names of outputs
            self.output_names = network.output_names
        # A function hides the terms from Keras' tracking, as they refer to the network's layers.
        self._terms = lambda: terms
        # λ are weights and not Python numbers, so that they can change between two calls of `fit`
        # without compiling the step again (JAX and XLA would treat a float as a constant).
        self.strengths = {
            term: self.add_weight(
                shape=(), initializer="zeros", trainable=False, name=f"lambda_{term}"
            )
            for term in terms
        }
        self._label_smoothing, self._schedule = label_smoothing, schedule
        self._class_weights = class_weights
        self.averages = None if ema is None else AveragedWeights(self, network, ema)
        self._counts_steps = schedule is not None or ema is not None
        if self._counts_steps:
            self._step, self._steps = (
                self.add_weight(
                    shape=(),
                    initializer="zeros",
                    dtype="int",  # int32 variables break XLA on GPUs (tensorflow#53192)
                    trainable=False,
                    aggregation="only_first_replica",
                    name=name,
                )
                for name in ("step", "steps")
            )
        self.built = True
        self._replicas = replicas()
        if self._replicas > 1:
            normalize_together(network)

    def set_strengths(self, **strengths: float) -> None:
        """Set λ of the named terms; the others become 0.

        Raises:
            ValueError: If there is no such term.
        """
        if unknown := sorted(set(strengths) - set(self.strengths)):
            raise ValueError(f"unknown terms: {unknown}; expected {sorted(self.strengths)}")
        for term, variable in self.strengths.items():
            variable.assign(strengths.get(term, 0.0))

    def begin(self, steps: int) -> None:
        """Reset schedule and averages for a training of the given number of steps.

        With a schedule or averages, call it before each training: only the caller knows of how many
        steps that consists, because one training may take several calls of ``fit``.
        """
        if self._counts_steps:
            self._step.assign(0)
            self._steps.assign(steps)
        if self.averages is not None:
            self.averages.restart()

    def fit(self, *args, **kwargs):
        """Train as Keras does.

        Raises:
            ValueError: If the number of steps is not known yet, but schedule or averages need it.
        """
        if self._counts_steps and not int(ops.convert_to_numpy(self._steps)):
            raise ValueError("with schedule or ema, call begin(steps) before fit")
        return super().fit(*args, **kwargs)

    def train_step(self, *arguments):
        """Set the learning rate, do Keras' training step, and update the averages.

        Under JAX, a step takes and returns the values of all variables.
        """
        if not self._counts_steps:
            return super().train_step(*arguments)
        if keras.backend.backend() != "jax":
            self._before_step()
            logs = super().train_step(*arguments)
            self._after_step()
            return logs
        state, data = arguments
        logs, state = super().train_step(self._changed(state, self._before_step), data)
        return logs, self._changed(state, self._after_step)

    def _before_step(self) -> None:
        if self._schedule is not None:
            step, steps = (ops.cast(n, "float32") for n in (self._step, self._steps))
            self.optimizer.learning_rate.assign(self._schedule.rate(step, steps))

    def _after_step(self) -> None:
        self._step.assign(self._step + 1)
        if self.averages is not None:
            self.averages.update(ops.cast(self._step, "float32"))

    def _changed(self, state: tuple, change: Callable[[], None]) -> tuple:
        """Return JAX's values of the variables after applying a change to the variables."""
        *groups, metrics = state
        variables = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
        )
        pairs = [
            pair
            for group, values in zip(variables, groups, strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            change()
        new = ([scope.get_current_value(v) for v in group] for group in variables)
        return (*new, metrics)

    def call(self, inputs, training=None):
        """Return the network's outputs."""
        if self._replicas > 1:
            return call_part(self.network, inputs, training)
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the task loss, and in training add the terms."""
        # Keras would average over each device's rows and then over the devices, which differs from
        # the mean over the batch if it does not divide evenly. So every device uses all rows.
        y, y_pred, sample_weight = tree.map_structure(gather, (y, y_pred, sample_weight))
        if training and self._class_weights is not None:
            weights = ops.take(ops.convert_to_tensor(self._class_weights), _flat(y, "int32"))
            if sample_weight is not None:
                weights *= _flat(sample_weight, weights.dtype)
            sample_weight = weights
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
        if self._label_smoothing:
            # With logits z and CE(k) = log Σ exp z − z_k, label smoothing adds ε·(z_y − mean z):
            # (1 − ε)·CE(y) + ε·mean over k of CE(k) = CE(y) + ε·(z_y − mean z), because all CE(k)
            # share the logarithm.
            logits = ops.cast(y_pred, loss.dtype)  # In half precision, y_pred is not.
            hit = ops.one_hot(_flat(y, "int32"), logits.shape[-1], dtype=logits.dtype)
            smoothed = ops.sum(hit * logits, -1) - ops.mean(logits, -1)
            if sample_weight is not None:
                smoothed *= _flat(sample_weight, smoothed.dtype)
            added = ops.mean(smoothed)
            loss += self._aggregate_additional_loss(self._label_smoothing * added)
        for term, value in self._terms().items():
            # _aggregate_additional_loss divides by the number of devices, so a term counts once.
            added = ops.cast(self.strengths[term], "float32") * value()
            loss += self._aggregate_additional_loss(ops.cast(added, loss.dtype))
        return loss

    def save(self, filepath, overwrite=True, averaged=True, **kwargs):
        """Save the wrapped network, with the optimizer's state if this trainer is compiled.

        With averages, the file has them, also in the middle of a training: ``fit`` validates the
        averages, so a ``ModelCheckpoint`` chooses between them.

        Args:
            filepath: The file.
            overwrite: As for a Keras model, like all other arguments.
            averaged: Whether to save the averages, if there are any, or the weights of the last
                step, which the optimizer's state belongs to.
            **kwargs: Further arguments of Keras.
        """
        if self.compiled:
            self.network.compile(optimizer=self.optimizer, loss=self.loss)
        averages = self.averages
        with nullcontext() if averages is None else averages.chosen(averaged):
            self.network.save(filepath, overwrite=overwrite, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Build the metrics from one device's part of a batch.

        On several devices, Keras averages their parts of the first batch only to get a shape, which
        fails if the parts differ in size. The part of one device is enough.
        """
        if iterator is not None and self._replicas > 1:
            parts = self.distribute_strategy.experimental_local_results
            for _, _, batches in iterator:
                data_batch = tree.map_structure(lambda x: parts(x)[0], next(batches))
                break
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)


def _flat(values, dtype):
    """Return labels or weights of shape (n,) or (n, 1) with shape (n,).

    Raises:
        ValueError: If they have another shape, such as one-hot labels.
    """
    if len(values.shape) > 2 or (len(values.shape) == 2 and values.shape[1] not in (None, 1)):
        raise ValueError(
            f"class_weights and label_smoothing need class numbers of shape (n,) or (n, 1), got "
            f"labels of shape {tuple(values.shape)}"
        )
    return ops.reshape(ops.cast(values, dtype), (-1,))
