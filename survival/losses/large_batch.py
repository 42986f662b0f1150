"""The exact gradient of a loss over a large batch, in the memory of a micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops, tree

from survival.checks import whole_number


class LargeBatchModel(keras.Model):
    """Train ``network`` on large batches with the activations of only a micro-batch in memory.

    A Cox loss is not a sum over parts of a batch, because rows compete with each other. The
    gradients of small batches therefore do not add up to that of the large one. A step here has
    three passes, where M runs over the micro-batches and θ are the weights:

        1. h = network(x), one micro-batch at a time, without keeping activations;
        2. L(h) and g = ∂L/∂h, for the whole batch;
        3. ∂L/∂θ = Σ_M g_Mᵀ ∂h_M/∂θ, computing each micro-batch again with its activations.

    The result is the gradient of the whole batch, for one additional forward pass.

    Invariant: passes 1 and 3 compute the same h. Both see the same random numbers, and the states
    of layers (random seeds and the statistics of batch normalization, which are those of each
    micro-batch) advance once per step.

    Limits: losses that layers add when they are called, such as activity regularizers, are
    ignored; weight regularizers are not. Compilation by XLA is off by default on TensorFlow, where
    it would need more memory, and must be on (the default) on JAX. Under ``MirroredStrategy`` each
    replica processes its own micro-batches, and the network must not have states.

    Args:
        network: The model to train, already built, with one output (n, ...). Its weights are
            shared, not copied.
        micro_batch_size: Rows in memory at a time.
        load: Function from a micro-batch's rows of x (an array) to the network's inputs (an
            array), for inputs that do not fit into memory as a whole batch. x can then hold, for
            example, the indices of images. It is called twice per step and must return the same
            inputs both times.

    Raises:
        ValueError: If ``micro_batch_size`` is not a positive whole number.

    Example:
        >>> from survival import CoxPHLoss, vgg_survival_model
        >>> images = np.random.default_rng(0).uniform(0, 255, size=(8, 16, 24, 3))
        >>> targets = np.stack([np.arange(1, 9), np.ones(8)], axis=1)  # time, event
        >>> network = vgg_survival_model((16, 24, 3), width=0.03)
        >>> model = LargeBatchModel(network, micro_batch_size=2)
        >>> model.compile("adam", CoxPHLoss())
        >>> history = model.fit(images, targets, batch_size=8, verbose=0)
        >>> model.save("network.keras")  # saves only the network
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
        self._load_error: Exception | None = None
        # Keras reads this when it resolves jit_compile="auto".
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the network's outputs, computed one micro-batch after the other."""
        return _BACKENDS[keras.backend.backend()].forward(self, inputs, training)

    def train_step(self, *args: Any) -> Any:
        """Take one training step.

        On JAX it is Keras' own step: there, :meth:`call` recomputes activations for the gradient.
        """
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

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train as Keras does; an error of ``load`` is raised as it is, on every backend."""
        self._load_error = None
        try:
            return super().fit(*args, **kwargs)
        except Exception:
            if self._load_error is not None:
                # The backend's error only contains the text of this one.
                raise self._load_error from None
            raise

    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Save the wrapped network, with the optimizer's state if this model is compiled."""
        if self.compiled:
            self.network.compile(optimizer=self.optimizer, loss=self.loss)
        self.network.save(filepath, overwrite=overwrite, **kwargs)

    def micro_batches(self, inputs):
        """Return the number of micro-batches, a tensor if the size of the batch is unknown."""
        return -(-_rows(inputs) // self.micro_batch_size)

    def micro_batch(self, inputs, index):
        """Return the inputs of micro-batch ``index``; the last is padded with the first rows."""
        rows = index * self.micro_batch_size + ops.arange(self.micro_batch_size, dtype="int32")
        rows = rows % _rows(inputs)
        part = tree.map_structure(lambda x: ops.take(x, rows, axis=0), inputs)
        if self.load is None:
            return part
        return _BACKENDS[keras.backend.backend()].loaded(self, self._load_floats, part)

    def record_loss(self, loss, inputs, replicas=1):
        """Add the loss of a step to the running mean that Keras shows."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * replicas, sample_weight=_rows(inputs))

    def _load_floats(self, part: Any) -> np.ndarray:
        """Return the result of ``load`` as the float32 array that the backends expect."""
        assert self.load is not None
        try:
            return np.asarray(self.load(np.asarray(part)), "float32")
        except Exception as error:
            self._load_error = error
            raise


class _Backend(Protocol):
    """What each backend implements, with its own tensors."""

    @staticmethod
    def loaded(model: LargeBatchModel, load: Callable[[Any], np.ndarray], part: Any) -> Any:
        """Return the network's inputs for the rows of a micro-batch."""

    @staticmethod
    def forward(model: LargeBatchModel, inputs: Any, training: bool | None) -> Any:
        """Return the network's outputs for a batch."""


class _Steps(_Backend, Protocol):
    """The three passes of a step, for backends whose own step would keep all activations."""

    @staticmethod
    def outputs(model: LargeBatchModel, x: Any) -> Any:
        """Return the network's outputs without keeping activations (pass 1)."""

    @staticmethod
    def loss_gradients(
        model: LargeBatchModel, x: Any, y: Any, output: Any, sample_weight: Any
    ) -> tuple[Any, list | None]:
        """Return ∂L/∂outputs, and the weights' direct gradients from regularizers (pass 2)."""

    @staticmethod
    def backward(model: LargeBatchModel, x: Any, cotangent: Any, gradients: list | None) -> list:
        """Return the weights' gradients, including those through the outputs (pass 3)."""


class _TensorFlow:
    """The three passes as loops, whose graphs have a constant size."""

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
        # Each replica's loss is divided by the number of replicas; record the undivided loss.
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
        # Rows that pad the last micro-batch get the cotangent 0: they are not part of the loss.
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
    """The three passes as plain loops."""

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
    """A scan whose iterations are recomputed for the gradient."""

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
    """Return the number of rows of the inputs."""
    return ops.shape(tree.flatten(inputs)[0])[0]
