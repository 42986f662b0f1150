"""The exact gradient of a loss over a large batch, in the memory of a small one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops, tree

from survival.checks import whole_number


class LargeBatchModel(keras.Model):
    """Trains ``network`` on large batches, of which only a micro-batch is in memory at a time.

    A Cox loss does not add up over parts of a batch, since rows compete with each other, so
    accumulating the gradients of small batches is something else. Here the log-hazards h of the
    whole batch are computed first, micro-batch by micro-batch and without keeping activations;
    then the loss and ∂L/∂h; then each micro-batch once more, to carry its part of ∂L/∂h back to
    the weights. The result is the gradient of the whole batch for one more forward pass.

    Both passes see the same random numbers, and the states of layers (statistics of batch
    normalization, which are those of each micro-batch, and random seeds) move on once in a step.
    Losses that layers add when they are called, such as activity regularizers, are not seen;
    weight regularizers are. Compiling by XLA is off by default on TensorFlow, where it would need
    more memory, and has to be on (the default) on JAX. Under ``MirroredStrategy`` each replica
    works through its own micro-batches; the network must not have states then.

    Args:
        network: The model to train, with one output (n, ...); its weights are shared, not copied.
            It must be built.
        micro_batch_size: Rows in memory at a time.
        load: Makes a micro-batch's inputs for the network (an array) of its rows of x (an array),
            where not even the inputs of a whole batch fit into the memory: x are then the numbers
            of images in place of images, for example. It is called twice in a step, and must
            give the same both times.

    Raises:
        ValueError: If ``micro_batch_size`` is no positive whole number.

    Example:
        >>> from survival import CoxPHLoss, vgg_survival_model
        >>> images = np.random.default_rng(0).uniform(0, 255, size=(8, 16, 24, 3))
        >>> targets = np.stack([np.arange(1, 9), np.ones(8)], axis=1)  # time, event
        >>> network = vgg_survival_model((16, 24, 3), width=0.03)
        >>> model = LargeBatchModel(network, micro_batch_size=2)
        >>> model.compile("adam", CoxPHLoss())
        >>> history = model.fit(images, targets, batch_size=8, verbose=0)
        >>> model.save("network.keras")  # just the network
    """

    def __init__(
        self,
        network: keras.Model,
        micro_batch_size: int = 1,
        load: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        micro_batch_size = whole_number("micro_batch_size", micro_batch_size)
        super().__init__(name=f"large_batch_{network.name}")
        self.network = network
        self.micro_batch_size = micro_batch_size
        self.load = load
        # What "auto" looks at when it decides whether to compile.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The network's outputs, one micro-batch after the other."""
        return _BACKENDS[keras.backend.backend()].forward(self, inputs, training)

    def train_step(self, *args: Any) -> Any:
        """One step; on JAX it is Keras' own, where :meth:`call` recomputes instead of storing."""
        steps = _STEPS.get(keras.backend.backend())
        if steps is None:
            return super().train_step(*args)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        states = self.network.non_trainable_variables
        before = [ops.copy(s) for s in states]
        output = steps.outputs(self, x)
        cotangent, gradients = steps.loss_gradients(self, x, y, output, sample_weight)
        for state, value in zip(states, before, strict=True):
            state.assign(value)
        gradients = steps.backward(self, x, cotangent, gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.compute_metrics(x, y, output, sample_weight=sample_weight)

    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Save the wrapped network, with the optimizer's state if this model is compiled."""
        if self.compiled:
            self.network.compile(optimizer=self.optimizer, loss=self.loss)
        self.network.save(filepath, overwrite=overwrite, **kwargs)

    def micro_batches(self, inputs):
        """How many micro-batches there are (a tensor where the batch's size is unknown)."""
        return -(-_rows(inputs) // self.micro_batch_size)

    def micro_batch(self, inputs, index):
        """Rows of the micro-batch ``index``; the last one is filled up with rows of the first."""
        rows = index * self.micro_batch_size + ops.arange(self.micro_batch_size, dtype="int32")
        rows = rows % _rows(inputs)
        part = tree.map_structure(lambda x: ops.take(x, rows, axis=0), inputs)
        if self.load is None:
            return part
        load = partial(_load_floats, self.load)
        return _BACKENDS[keras.backend.backend()].loaded(self, load, part)

    def record_loss(self, loss, inputs, replicas=1):
        """Takes the loss of a step into the running mean that Keras shows."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * replicas, sample_weight=_rows(inputs))


def _load_floats(load: Callable[[np.ndarray], np.ndarray], part: Any) -> np.ndarray:
    """What ``load`` gives, as the backends' callbacks take it."""
    return np.asarray(load(np.asarray(part)), "float32")


class _Backend(Protocol):
    """What every backend does in its own way; all tensors are its own."""

    @staticmethod
    def loaded(model: LargeBatchModel, load: Callable[[Any], np.ndarray], part: Any) -> Any:
        """The network's inputs for the rows of a micro-batch."""

    @staticmethod
    def forward(model: LargeBatchModel, inputs: Any, training: bool | None) -> Any:
        """The network's outputs for a batch."""


class _Steps(_Backend, Protocol):
    """The three parts of a step, where Keras' own would keep the activations of a whole batch."""

    @staticmethod
    def outputs(model: LargeBatchModel, x: Any) -> Any:
        """The network's outputs, without keeping activations."""

    @staticmethod
    def loss_gradients(
        model: LargeBatchModel, x: Any, y: Any, output: Any, sample_weight: Any
    ) -> tuple[Any, list | None]:
        """The gradients of the loss: in the outputs, and directly in the weights."""

    @staticmethod
    def backward(model: LargeBatchModel, x: Any, cotangent: Any, gradients: list | None) -> list:
        """The gradients in the weights, with those that come through the outputs."""


class _TensorFlow:
    """The three parts of a step as graphs of constant size."""

    @staticmethod
    def loaded(model, load, part):
        import tensorflow as tf

        inputs = tf.numpy_function(load, [part], "float32", stateful=False)
        return tf.ensure_shape(inputs, (model.micro_batch_size, *model.network.input_shape[1:]))

    @staticmethod
    def forward(model, inputs, training):
        import tensorflow as tf

        count = model.micro_batches(inputs)
        shape = (model.micro_batch_size, *model.network.output_shape[1:])
        outputs = tf.TensorArray("float32", size=count, element_shape=shape)

        def body(index, outputs):
            output = model.network(model.micro_batch(inputs, index), training=training)
            return index + 1, outputs.write(index, tf.cast(output, "float32"))

        _, outputs = tf.while_loop(
            lambda index, _: index < count, body, (0, outputs), parallel_iterations=1
        )
        return outputs.concat()[: _rows(inputs)]

    @staticmethod
    def outputs(model, x):
        return _TensorFlow.forward(model, x, training=True)

    @staticmethod
    def loss_gradients(model, x, y, output, sample_weight):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(output)
            loss = model.compute_loss(x, y, output, sample_weight, training=True)
            scaled = model.optimizer.scale_loss(loss)
        # Each replica's loss is divided by their number; what is shown is the whole.
        model.record_loss(loss, x, tf.distribute.get_strategy().num_replicas_in_sync)
        sources = [output, *(v.value for v in model.trainable_variables)]
        cotangent, *gradients = tape.gradient(
            scaled, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return cotangent, gradients

    @staticmethod
    def backward(model, x, cotangent, gradients):
        import tensorflow as tf

        size, count = model.micro_batch_size, model.micro_batches(x)
        # Rows that fill up the last micro-batch have no part in the loss.
        cotangent = tf.concat([cotangent, tf.zeros_like(cotangent[:1])], axis=0)

        def body(index, gradients):
            rows = index * size + tf.range(size)
            part = tf.gather(cotangent, tf.minimum(rows, _rows(x)))
            with tf.GradientTape() as tape:
                output = model.network(model.micro_batch(x, index), training=True)
                product = tf.reduce_sum(tf.cast(output, "float32") * part)
            more = tape.gradient(
                product,
                [v.value for v in model.trainable_variables],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return index + 1, [g + m for g, m in zip(gradients, more, strict=True)]

        gradients = [tf.convert_to_tensor(g) for g in gradients]
        return tf.while_loop(
            lambda index, _: index < count, body, (0, gradients), parallel_iterations=1
        )[1]


class _Torch:
    """The same with plain loops."""

    @staticmethod
    def loaded(model, load, part):
        return ops.convert_to_tensor(load(ops.convert_to_numpy(part)))

    @staticmethod
    def forward(model, inputs, training):
        import torch

        def outputs():
            for index in range(model.micro_batches(inputs)):
                yield model.network(model.micro_batch(inputs, index), training=training).float()

        return torch.cat(list(outputs()))[: _rows(inputs)]

    @staticmethod
    def outputs(model, x):
        import torch

        with torch.no_grad():
            return _Torch.forward(model, x, training=True)

    @staticmethod
    def loss_gradients(model, x, y, output, sample_weight):
        model.zero_grad()
        output.requires_grad_()
        loss = model.compute_loss(x, y, output, sample_weight, training=True)
        model.record_loss(loss.detach(), x)
        model.optimizer.scale_loss(loss).backward()
        return output.grad, None

    @staticmethod
    def backward(model, x, cotangent, gradients):
        import torch

        size = model.micro_batch_size
        for index in range(model.micro_batches(x)):
            part = cotangent[index * size : (index + 1) * size]
            output = model.network(model.micro_batch(x, index), training=True).float()
            output[: len(part)].backward(part)
        variables = model.trainable_variables
        return [
            torch.zeros_like(v.value) if v.value.grad is None else v.value.grad for v in variables
        ]


class _Jax:
    """A scan whose steps are computed again for the gradient."""

    @staticmethod
    def loaded(model, load, part):
        import jax

        shape = (model.micro_batch_size, *model.network.input_shape[1:])
        return jax.pure_callback(load, jax.ShapeDtypeStruct(shape, "float32"), part)

    @staticmethod
    def forward(model, inputs, training):
        import jax

        network = model.network
        trainable = [v.value for v in network.trainable_variables]
        states = network.non_trainable_variables

        def body(state, index):
            part = model.micro_batch(inputs, index)
            output, state = network.stateless_call(trainable, state, part, training=training)
            return state, output.astype("float32")

        indices = ops.arange(model.micro_batches(inputs), dtype="int32")
        after, outputs = jax.lax.scan(jax.checkpoint(body), [s.value for s in states], indices)
        for state, value in zip(states, after, strict=True):
            state.assign(value)
        return outputs.reshape(-1, *outputs.shape[2:])[: _rows(inputs)]


_STEPS: dict[str, _Steps] = {"tensorflow": _TensorFlow, "torch": _Torch}
_BACKENDS: dict[str, _Backend] = {**_STEPS, "jax": _Jax}


def _rows(inputs):
    """The number of rows of some tensors."""
    return ops.shape(tree.flatten(inputs)[0])[0]
