"""Importance of each channel, from weights, scales of normalizations, or gradients.

An importance is a number I ≥ 0 for each channel id. A kernel before a batch normalization has no
scale (doubling it does not change the outputs), so its magnitude is taken as the normalization
applies it, ‖w‖·|γ|/√(σ²+ε). Other normalizations do not store σ, so before them it is ‖w‖·|γ|.
Magnitudes of different layers are not comparable, so their squares are divided by the sum over all
channels of the same layers. A channel of a residual trunk is produced by several layers and saves a
lot. Its removal also changes all of these layers, so its share counts once for each
(:func:`shares`). Counted only once, the trunk would become too narrow: a ResNet-20 pruned to half
of its FLOPs and fine-tuned had 62 instead of 68 % on CIFAR-10.

The Taylor importance is comparable across layers. Let each layer read m + g·(x − m) instead of x,
where m is the channel's mean and g a gate for each channel and image. Removing the channel and
folding its mean changes g from 1 to 0. Up to a factor, I = mean over images of (∂L/∂g)² estimates
the resulting increase of the loss (Theis et al. 2018, Molchanov et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.forward import as_inputs, forward
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall, kernel_of

IMPORTANCES = ("magnitude", "gamma", "taylor")


def magnitudes(graph: ChannelGraph) -> np.ndarray:
    """Return the kernel norm of each channel as normalizations apply it, float array (size,).

    It is the root mean square over all layers that produce the channel.
    """

    def value(step: LayerCall) -> np.ndarray:
        kernel = kernel_of(step).astype("float64")
        norm = np.sqrt(np.square(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0))
        if (reader := _normalization(graph, step)) is not None:
            layer = reader.layer
            if layer.gamma is not None:
                norm = norm * np.abs(ops.convert_to_numpy(layer.gamma))
            if isinstance(layer, keras.layers.BatchNormalization):
                variance = ops.convert_to_numpy(layer.moving_variance)
                norm = norm / np.sqrt(variance + layer.epsilon)
        return norm

    return _root_mean_square(graph, [(step, value(step)) for step in graph.producers()])


def _normalization(graph: ChannelGraph, step: LayerCall) -> LayerCall | None:
    """Return the normalization that alone reads a step's output, perhaps after activations."""
    while len(readers := graph.readers(step)) == 1:
        step = readers[0]
        if step.normalizes:
            return step
        if step.kind != "keep" or len(step.inputs) != 1:
            return None
    return None


def gammas(graph: ChannelGraph) -> np.ndarray:
    """Return the root mean square of |γ| over each channel's normalizations, array (size,).

    Raises:
        ValueError: If a channel that could be removed passes no normalization, or one without a
            scale γ, which undoes the scales before it.
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
                "importance='gamma' needs normalizations after every layer, all with a scale, but "
                f"those of {step.name!r} have none; use importance='magnitude'"
            )
    return _root_mean_square(graph, found)


def shares(graph: ChannelGraph, values: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Return squared values as shares of their sum over the alive channels of the same layers.

    Args:
        graph: The analyzed model.
        values: Float array (size,).
        alive: Bool array (size,).

    Returns:
        Float array (size,): the share of each channel in its width group, times the number of
        layers that produce the group.
    """
    squares = np.square(values)
    result = np.zeros(graph.size)
    for group in graph.width_groups():
        total = squares[group.ids][alive[group.ids]].sum()
        if total > 0:
            result[group.ids] = len(group.layers) * squares[group.ids] / total
    return result


def taylor(
    graph: ChannelGraph,
    images: Any,
    labels: Any,
    loss: Any,
    alive: np.ndarray,
    batch: int = 32,
) -> np.ndarray:
    """Return the Taylor importance of each channel, float array (size,).

    Args:
        graph: The analyzed model.
        images: Images, or a list with one array for each input of the model.
        labels: Labels as the loss takes them; a list or dict of them for several outputs.
        loss: A Keras loss, its name, or a function (labels, outputs) that returns one loss per
            image.
        alive: Bool array (size,). All other channels count as removed.
        batch: Number of images per batch.
    """
    inputs = as_inputs(graph, images)
    function = _loss_by_image(loss)
    total = np.zeros(graph.size)
    count = len(inputs[0])
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        x = [v[part] for v in inputs]
        y = keras.tree.map_structure(lambda v, p=part: ops.convert_to_tensor(v[p]), labels)

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
    """Return the gradient of a scalar function of one tensor, on any backend."""
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


def _gated(graph: ChannelGraph, step: LayerCall, x: Any, gates: Any) -> Any:
    x = ops.cast(x, "float32")
    mean = ops.stop_gradient(ops.mean(x, axis=tuple(range(len(x.shape) - 1)), keepdims=True))
    ids = graph.in_ids(step).astype("int32")
    gate = ops.reshape(
        ops.take(gates, ids, axis=1), (x.shape[0], *(1,) * (len(x.shape) - 2), len(ids))
    )
    return mean + gate * (x - mean)


def _loss_by_image(loss: Any) -> Callable[[Any, Any], Any]:
    found = keras.losses.get(loss)
    of_class = isinstance(found, keras.losses.Loss)
    function = found.call if of_class else found
    dtype = found.dtype if of_class else keras.config.floatx()

    def by_image(labels: Any, outputs: Any) -> Any:
        # As Keras does before it calls the function.
        labels, outputs = keras.tree.map_structure(
            lambda x: ops.convert_to_tensor(x, dtype=dtype), (labels, outputs)
        )
        # As in fit, labels (n,) may belong to outputs (n, 1).
        single = not isinstance(outputs, list) and outputs.shape[-1] == 1
        if single and len(labels.shape) == len(outputs.shape) - 1:
            labels = ops.expand_dims(labels, -1)
        return function(labels, outputs)

    return by_image


def _root_mean_square(graph: ChannelGraph, found: list[tuple[LayerCall, np.ndarray]]) -> np.ndarray:
    total, count = np.zeros(graph.size), np.zeros(graph.size)
    for step, values in found:
        np.add.at(total, graph.out_ids(step), np.square(values))
        np.add.at(count, graph.out_ids(step), 1)
    return np.sqrt(total / np.maximum(count, 1))
