"""A thin trainer model that adds regularization terms to the loss of the network it wraps.

The terms live in the trainer alone: the network stays a plain functional model, so a checkpoint or
an exported file knows nothing of them, and ``evaluate`` reports the task's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import ops, tree

from resbuilder.common.strategy import gather, replicas
from resbuilder.training.averaging import AveragedWeights
from resbuilder.training.replicas import call_part, normalize_together
from resbuilder.training.schedule import RateSchedule


class RegularizedModel(keras.Model):
    """Trains ``network`` on its task loss plus Σ λ·term.

    Made in the scope of a ``tf.distribute.MirroredStrategy``, it is trained as on one device:
    batch normalization takes the statistics of the whole batch, the loss is the mean over the whole
    batch however it is divided, and the terms count once.

    Args:
        network: The functional model to train; its weights are shared, not copied.
        terms: Functions without arguments that return a scalar tensor computed from the network's
            variables, such as ``MorphNetRegularizer(...).regularization_term``.
        label_smoothing: ε, the share of each label that is spread over all classes, in training
            alone. ``y_pred`` must be logits.
        schedule: Sets the optimizer's learning rate before each step; None leaves it alone.
        ema: Decay of the weights' averages (:class:`.averaging.AveragedWeights`); None for none.
        class_weights: Weight of each class in the task loss of training (classes,); ``y`` must be
            class numbers. None: all alike.

    Attributes:
        averages: The averages, or None.

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
        # torch takes no dot in a module's name, and keras.applications has mobilenet_1.00_224.
        super().__init__(name=f"regularized_{network.name}".replace(".", "_"))
        self.network = network
        # Plain attributes hidden from Keras' tracking: the regularizers hold the network's layers.
        self._terms = lambda: terms
        # Weights, not Python numbers: they can change between fits of a compiled step on every
        # backend (a float would be frozen into JAX's and XLA's trace).
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
            raise ValueError(f"no such terms: {unknown}; there are {sorted(self.strengths)}")
        for term, variable in self.strengths.items():
            variable.assign(strengths.get(term, 0.0))

    def begin(self, steps: int) -> None:
        """Begin a training of the given number of steps: schedule and averages start again."""
        if self._counts_steps:
            self._step.assign(0)
            self._steps.assign(steps)
        if self.averages is not None:
            self.averages.restart()

    def train_step(self, *arguments):
        """Keras' step, at the rate of the schedule and followed by the averages.

        Under JAX a step takes and returns the values of all variables.
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
        """Return JAX's values of the variables after a change to the variables."""
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
        """The network's outputs."""
        if self._replicas > 1:
            return call_part(self.network, inputs, training)
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The task loss, and in training the terms."""
        # Keras' mean over each device's rows, and then over devices, is another one where a batch
        # does not divide evenly. So every device takes the mean over all rows.
        y, y_pred, sample_weight = tree.map_structure(gather, (y, y_pred, sample_weight))
        weights = None
        if training and self._class_weights is not None:
            table = ops.convert_to_tensor(self._class_weights)
            weights = ops.take(table, ops.reshape(ops.cast(y, "int32"), (-1,)))
            sample_weight = weights if sample_weight is None else weights * sample_weight
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
        if self._label_smoothing:
            # (1 − ε)·CE(y) + ε·mean over classes k of CE(k) = CE(y) + ε·(z_y − mean z): the
            # logarithm of the sum of exponentials is in all of them.
            hit = ops.one_hot(ops.cast(y, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
            smoothed = ops.sum(hit * y_pred, -1) - ops.mean(y_pred, -1)
            added = ops.mean(smoothed if weights is None else weights * smoothed)
            loss += self._aggregate_additional_loss(self._label_smoothing * added)
        for term, value in self._terms().items():
            # Keras scales what is added to a per-replica loss by the number of replicas.
            added = ops.cast(self.strengths[term], "float32") * value()
            loss += self._aggregate_additional_loss(ops.cast(added, loss.dtype))
        return loss

    def save(self, filepath, overwrite=True, **kwargs):
        """Save the wrapped network, with the optimizer's state if this trainer is compiled."""
        if self.compiled:
            self.network.compile(optimizer=self.optimizer, loss=self.loss)
        self.network.save(filepath, overwrite=overwrite, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """What Keras does before the first step on several devices, to build the metrics.

        It takes the mean over the devices of their parts of a batch, for the shape alone, and fails
        where they differ in size. One of the parts will do.
        """
        if iterator is not None and self._replicas > 1:
            parts = self.distribute_strategy.experimental_local_results
            for _, _, batches in iterator:
                data_batch = tree.map_structure(lambda x: parts(x)[0], next(batches))
                break
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)
