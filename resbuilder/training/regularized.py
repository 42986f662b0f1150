"""A thin trainer model that adds regularization terms to the loss of the network it wraps.

The terms live in the trainer alone: the network stays a plain functional model, so a checkpoint or
an exported file knows nothing of them, and ``evaluate`` reports the task's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
from keras import ops, tree

from resbuilder.common.strategy import gather, replicas
from resbuilder.training.replicas import call_part, normalize_together


class RegularizedModel(keras.Model):
    """Trains ``network`` on its task loss plus Σ λ·term.

    Made in the scope of a ``tf.distribute.MirroredStrategy``, it is trained as on one device:
    batch normalization takes the statistics of the whole batch, the loss is the mean over the whole
    batch however it is divided, and the terms count once.

    Args:
        network: The functional model to train; its weights are shared, not copied.
        terms: Functions without arguments that return a scalar tensor computed from the network's
            variables, such as ``MorphNetRegularizer(...).regularization_term``.

    Example:
        >>> model = RegularizedModel(network, {"morphnet": regularizer.regularization_term})
        >>> model.set_strengths(morphnet=1e-7)
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> model.fit(images, labels)
        >>> network.save("network.keras")
    """

    def __init__(self, network: keras.Model, terms: Mapping[str, Callable[[], object]]):
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
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
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
