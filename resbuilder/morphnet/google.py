"""The same regularizer computed by Google's implementation (``engine="google"``).

Google's morph_net crawls a TensorFlow graph from the outputs of a network back to its inputs. This
module traces such a graph once, as a function of all weights, so the term stays differentiable
with respect to them wherever the function is called. The images fed to it are placeholders: none
of the results depends on them, so nothing is computed from them.

References:
    github.com/google-research/morph-net, commit d9286a1. It is not on PyPI.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.native import NativeRegularizer

SOURCE = "git+https://github.com/google-research/morph-net@d9286a1"


def require_morph_net() -> None:
    """Check that Google's implementation can run here.

    Raises:
        ValueError: If ``morph_net`` is not installed, or Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f'engine="google" needs TensorFlow, but Keras runs on {keras.backend.backend()}; set '
            'KERAS_BACKEND=tensorflow or use engine="native"'
        )
    try:
        import morph_net.network_regularizers.flop_regularizer  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'engine="google" needs Google\'s morph_net ({error}), which is not on PyPI: '
            f'pip install "{SOURCE}", or use engine="native"'
        ) from None


class GoogleRegularizer(NativeRegularizer):
    """A :class:`NativeRegularizer` whose values are computed by Google's implementation.

    Arguments and results are those of ``MorphNetRegularizer(..., strict=True)``: the rules are
    strict whatever the value of ``strict``. Only latency differs, because Google's also counts
    the memory traffic of additions, ReLUs and batch normalizations.

    Raises:
        ValueError: As for :class:`NativeRegularizer`, :func:`require_morph_net` and
            :func:`readable_model`, or if an image size is unknown.
    """

    def __init__(
        self,
        model: keras.Model,
        algorithm: str | None = None,
        resource: str = "flops",
        threshold: float = 1e-2,
        strict: bool = True,
        peak_flops: float | None = None,
        bandwidth: float | None = None,
    ):
        require_morph_net()
        super().__init__(model, algorithm, resource, threshold, True, peak_flops, bandwidth)
        self._images = [(1, *image.shape[1:]) for image in model.inputs]
        if any(None in shape for shape in self._images):
            raise ValueError(
                f'engine="google" needs a fixed image size, got {self._images}; build the model '
                "with a fixed size"
            )
        self._weights, self._function = self._trace(model)

    def regularization_term(self) -> Any:
        """Return the term, a float32 scalar tensor in units of the resource times r."""
        return self._results()["term"]

    def cost(self) -> Any:
        """Return the cost of the alive channels, a float32 scalar tensor."""
        return self._results()["cost"]

    def exact_cost(self) -> int | float:
        """Return the exact cost of the alive channels, an int (latency: a float, in seconds)."""
        results = self._results()
        if self.resource == "latency":
            return float(results["cost"])
        a_in, a_out = (
            np.array([int(np.sum(alive)) for alive in results[key]], np.int64)
            for key in ("alive_in", "alive_out")
        )
        return int(self._parts[0][0].cost(a_in, a_out).sum())

    def alive(self) -> dict[str, np.ndarray]:
        """Return which output channels are alive, a bool array (channels,) per convolution."""
        kept = {step.name for step in self.graph.producers() if step.kind != "dense"}
        return {name: alive for name, alive in self._of_layers("alive_out") if name in kept}

    def group_values(self) -> dict[str, np.ndarray]:
        """Return R of the output channels of each convolution and dense layer, float arrays."""
        made = self.graph.widths()
        return {name: values for name, values in self._of_layers("values") if name in made}

    def _of_layers(self, key):
        arrays = map(ops.convert_to_numpy, self._results()[key])
        return zip((step.name for step in self.graph.costly()), arrays, strict=True)

    def _results(self):
        images = [ops.zeros(shape) for shape in self._images]
        weights = [ops.cast(w, dtype) for w, dtype in self._weights]
        return self._function(images, weights)

    def _trace(self, model):
        """Return the weights with their types in the trace, and the traced function of them."""
        import tensorflow as tf

        network = readable_model(model, self.algorithm)
        layers = [network.get_layer(step.name) for step in self.graph.costly()]
        network = keras.Model(
            network.inputs,
            {
                "boundary": network.outputs,
                "in": [layer.input for layer in layers],
                "out": [layer.output for layer in layers],
            },
        )
        pairs = [
            pair
            for layer in network.layers
            if layer.variables
            for pair in zip(layer.variables, model.get_layer(layer.name).variables, strict=True)
        ]
        variables = [variable for variable, _ in pairs]

        def regularize(images, weights):
            with keras.StatelessScope(state_mapping=zip(variables, weights, strict=True)):
                return self._analyze(network(images, training=False))

        function = tf.function(regularize, autograph=False).get_concrete_function(
            [tf.TensorSpec(shape) for shape in self._images],
            [tf.TensorSpec(v.shape, v.dtype) for v in variables],
        )
        return [(weight, variable.dtype) for variable, weight in pairs], function

    def _analyze(self, tensors: dict) -> dict:
        """Return Google's results as tensors.

        Args:
            tensors: Tensors of the traced graph: the network's outputs (``"boundary"``), and the
                inputs and outputs of the costly layers (``"in"`` and ``"out"``).

        Returns:
            ``"term"`` and ``"cost"``; and for each costly layer ``"alive_in"``, ``"alive_out"``
            and ``"values"`` (R of its outputs), each of shape (channels,).
        """
        import tensorflow as tf
        from morph_net.network_regularizers.cost_calculator import CostCalculator

        manager = self._crawl([tensor.op for tensor in tensors["boundary"]])
        calculator = CostCalculator(manager, self._resource_function())

        def vectors(tensor):
            """Return R and alive of a tensor's channels; without a source they are alive."""
            found = manager.get_regularizer(tensor.op)
            if found is None:
                channels = tensor.shape[-1]
                return tf.zeros(channels), tf.ones(channels, bool)
            return found.regularization_vector, found.alive_vector

        return {
            "term": calculator.get_regularization_term(),
            "cost": calculator.get_cost(),
            "alive_in": [vectors(tensor)[1] for tensor in tensors["in"]],
            "alive_out": [vectors(tensor)[1] for tensor in tensors["out"]],
            "values": [vectors(tensor)[0] for tensor in tensors["out"]],
        }

    def _crawl(self, boundary: list):
        """Return Google's manager of channel groups for the output operations of a graph."""
        from morph_net.network_regularizers import flop_regularizer

        # The groups do not depend on the resource.
        kind = {
            "group_lasso": flop_regularizer.GroupLassoFlopsRegularizer,
            "gamma": flop_regularizer.GammaFlopsRegularizer,
        }[self.algorithm]
        return kind(boundary, self.threshold).op_regularizer_manager

    def _resource_function(self):
        from morph_net.network_regularizers import resource_function as google

        if self.resource == "latency":
            (_, peak_flops), (_, bandwidth) = self._parts
            return partial(
                google.latency_function, peak_compute=peak_flops, memory_bandwidth=bandwidth
            )
        return {
            "flops": google.flop_function,
            "model_size": google.model_size_function,
            "activation": google.activation_count_function,
        }[self.resource]


class _FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization in inference, as the one operation that Google's crawl recognizes."""

    def call(self, inputs, training=None, mask=None):
        import tensorflow as tf

        channels = inputs.shape[-1]
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.ones(channels) if self.gamma is None else ops.convert_to_tensor(self.gamma),
            offset=tf.zeros(channels) if self.beta is None else ops.convert_to_tensor(self.beta),
            mean=ops.convert_to_tensor(self.moving_mean),
            variance=ops.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=False,
        ).y


def readable_model(model: keras.Model, algorithm: str) -> keras.Model:
    """Return a copy that Google's crawl can read: float32, with fused batch normalization.

    Args:
        model: A built functional or sequential Keras model.
        algorithm: Criterion of MorphNet. ``"gamma"`` needs every batch normalization fused.

    Returns:
        A model with the same layer names and its own weights.

    Raises:
        ValueError: If ``algorithm`` is ``"gamma"`` and a batch normalization has an input other
            than images.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config, kind = layer.get_config(), type(layer)
        if "dtype" in config:
            config["dtype"] = "float32"
        if isinstance(layer, keras.layers.BatchNormalization):
            if len(layer.output.shape) == 4:
                kind = _FusedBatchNormalization
            elif algorithm == "gamma":
                raise ValueError(
                    f'engine="google" with algorithm="gamma" supports batch normalization of '
                    f"images only, but layer {layer.name!r} normalizes {layer.output.shape[1:]}"
                )
        return kind.from_config(config)

    return keras.models.clone_model(model, clone_function=clone)
