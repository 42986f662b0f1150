"""How much a network would lose with each of its channels: by weights, scales or gradients.

An importance is a number I ≥ 0 for each channel id. Kernels before a batch normalization have no
scale (twice the kernel gives the same outputs), so the magnitude is that of the kernel as the
normalization applies it, ‖w‖·|γ|/√(σ²+ε). Magnitudes of different layers cannot be compared: their
squares are divided by the sum over the layers that share the channels (:func:`shares`).

Taylor's importance compares them all. Let every layer read m + g·(x − m) instead of x, where m is
the channel's mean and g a gate for each channel and image. To remove the channel and fold its mean
is to go from g = 1 to g = 0, and I = mean over images of (∂L/∂g)² estimates, up to a factor, what
the loss rises by (Theis et al. 2018, Molchanov et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.forward import as_inputs, forward
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.steps import Step, kernel_of

IMPORTANCES = ("magnitude", "gamma", "taylor")


def magnitudes(graph: ChannelGraph) -> np.ndarray:
    """Norm of the kernel of each channel, as normalizations apply it; float array (size,).

    The root mean square over all layers that make the channel.
    """

    def value(step: Step) -> np.ndarray:
        kernel = kernel_of(step).astype("float64")
        norm = np.sqrt(np.square(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0))
        readers = graph.readers(step)
        if len(readers) == 1:
            layer = readers[0].layer
            if isinstance(layer, keras.layers.BatchNormalization):
                variance = layer.moving_variance.numpy()
                scale = 1 if layer.gamma is None else np.abs(layer.gamma.numpy())
                norm = norm * scale / np.sqrt(variance + layer.epsilon)
        return norm

    return _root_mean_square(graph, [(step, value(step)) for step in graph.producers()])


def gammas(graph: ChannelGraph) -> np.ndarray:
    """|γ| of the normalizations of each channel, root mean square; float array (size,).

    Raises:
        ValueError: If a channel that could be removed has no normalization with a scale.
    """
    found = [
        (step, np.abs(step.layer.gamma.numpy()))
        for step in graph.steps
        if step.normalizes and step.layer.gamma is not None
    ]
    for step in graph.producers():
        ids = graph.out_ids(step)
        if not (graph.scaled | graph.fixed | graph.mixed)[ids].all():
            raise ValueError(
                f"importance='gamma' needs a normalization with a scale behind every layer, and "
                f"there is none behind {step.name!r}; take importance='magnitude'"
            )
    return _root_mean_square(graph, found)


def shares(graph: ChannelGraph, values: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Squares of values, divided by their sum over the living channels of the same layers.

    Args:
        graph: The analysed model.
        values: Float array (size,).
        alive: Bool array (size,).

    Returns:
        Float array (size,): which share of its width group each channel is.
    """
    squares = np.square(values)
    result = np.zeros(graph.size)
    for group in graph.width_groups():
        total = squares[group.ids][alive[group.ids]].sum()
        result[group.ids] = squares[group.ids] / total if total > 0 else 0.0
    return result


def taylor(
    graph: ChannelGraph,
    images: Any,
    labels: Any,
    loss: Any,
    alive: np.ndarray,
    batch: int = 32,
) -> np.ndarray:
    """Taylor's importance of each channel; float array (size,).

    Args:
        graph: The analysed model.
        images: Images, or a list with one array for each input of the model.
        labels: What the loss takes.
        loss: A Keras loss, its name, or a function (labels, outputs) of losses by image.
        alive: Bool array (size,): channels that are not are taken for removed.
        batch: Images at a time.
    """
    inputs = as_inputs(graph, images)
    function = _loss_by_image(loss)
    total = np.zeros(graph.size)
    count = len(inputs[0])
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        x, y = [v[part] for v in inputs], ops.convert_to_tensor(labels[part])

        def summed(gates: Any, x: list = x, y: Any = y) -> Any:
            def visit(n: int, read: list[Any]) -> list[Any]:
                step = graph.steps[n]
                return [_gated(graph, step, read[0], gates)] if step.makes_channels else read

            outputs = forward(graph, x, visit)
            return ops.sum(function(y, outputs[0] if len(outputs) == 1 else outputs))

        start_gates = np.repeat(alive[None].astype("float32"), len(x[0]), axis=0)
        total += np.square(gradient(summed, start_gates).astype("float64")).sum(axis=0)
    return total / count


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Gradient of a scalar function of one tensor, on every backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            x = tf.convert_to_tensor(at)
            tape.watch(x)
            value = function(x)
        result = tape.gradient(value, x)
    elif backend == "jax":
        import jax

        result = jax.grad(function)(ops.convert_to_tensor(at))
    else:
        import torch

        x = ops.convert_to_tensor(at).requires_grad_()
        (result,) = torch.autograd.grad(function(x), x)
    return ops.convert_to_numpy(result)


def _gated(graph: ChannelGraph, step: Step, x: Any, gates: Any) -> Any:
    x = ops.cast(x, "float32")
    mean = ops.stop_gradient(ops.mean(x, axis=tuple(range(len(x.shape) - 1)), keepdims=True))
    ids = graph.in_ids(step).astype("int32")
    gate = ops.reshape(
        ops.take(gates, ids, axis=1), (x.shape[0], *(1,) * (len(x.shape) - 2), len(ids))
    )
    return mean + gate * (x - mean)


def _loss_by_image(loss: Any) -> Callable[[Any, Any], Any]:
    function = keras.losses.get(loss)
    return function.call if isinstance(function, keras.losses.Loss) else function


def _root_mean_square(graph: ChannelGraph, found: list[tuple[Step, np.ndarray]]) -> np.ndarray:
    total, count = np.zeros(graph.size), np.zeros(graph.size)
    for step, values in found:
        np.add.at(total, graph.out_ids(step), np.square(values))
        np.add.at(count, graph.out_ids(step), 1)
    return np.sqrt(total / np.maximum(count, 1))
