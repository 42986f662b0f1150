"""Running a model step by step, so that a function can inspect or change each tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall

#: Function (number of a step, its input tensors) that returns the input tensors to use instead.
Visit = Callable[[int, list[Any]], list[Any]]


def forward(graph: ChannelGraph, images: Any, visit: Visit | None = None) -> list[Any]:
    """Return the outputs of a model in inference mode, computed step by step.

    Args:
        graph: The analyzed model.
        images: A batch for the model's input, or a list with a batch for each input.
        visit: Called before each step with the step's number and input tensors; returns the input
            tensors to use instead.

    Returns:
        A list of the output tensors.
    """
    feed = {id(t): x for t, x in zip(graph.model.inputs, as_inputs(graph, images), strict=True)}
    last_use = {i: n for n, step in enumerate(graph.steps) for i in step.inputs}
    last_use |= dict.fromkeys(graph.outputs, len(graph.steps))
    values: list[Any] = []
    for n, step in enumerate(graph.steps):
        read = [values[i] for i in step.inputs]
        if visit is not None and step.inputs:
            read = visit(n, read)
        if step.kind == "input":
            image = feed[id(step.node.outputs[0])]
            values.append(ops.convert_to_tensor(image, step.node.outputs[0].dtype))
        else:
            values.append(evaluate(step, read))
        for i in set(step.inputs):
            if last_use[i] == n:
                values[i] = None
    return [values[n] for n in graph.outputs]


def as_inputs(graph: ChannelGraph, images: Any) -> list[Any]:
    """Return one batch for each of a model's inputs, in their order.

    Args:
        graph: The analyzed model.
        images: A batch, a list of batches, or a dict of batches by input name.

    Raises:
        ValueError: If the number of batches, the name of one or its shape does not match the
            model's inputs.
    """
    batches = images
    if isinstance(images, dict):
        names = _input_names(graph)
        if set(names) != set(images):
            raise ValueError(
                f"data are given for the inputs {', '.join(map(repr, images))}, but the model's "
                f"inputs are {', '.join(map(repr, names))}"
            )
        batches = [images[name] for name in names]
    batches = list(batches) if isinstance(batches, (list, tuple)) else [batches]
    expected = [tuple(t.shape[1:]) for t in graph.model.inputs]
    given = [tuple(np.shape(batch)[1:]) for batch in batches]
    fits = len(given) == len(expected) and all(
        len(a) == len(b) and all(side in (None, n) for side, n in zip(b, a, strict=True))
        for a, b in zip(given, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            f"data have the shapes {given} (without the batch axis), but the model takes {expected}"
        )
    return batches


def _input_names(graph: ChannelGraph) -> list[str]:
    """Return the names of a dict of inputs as Keras takes it: the model's own keys, if any."""
    struct = getattr(graph.model, "_inputs_struct", None)
    keys = {id(t): key for key, t in struct.items()} if isinstance(struct, dict) else {}
    return [keys.get(id(t), t.name) for t in graph.model.inputs]


def evaluate(step: LayerCall, read: Sequence[Any]) -> Any:
    """Return the output of a step for the given input tensors, in inference mode."""
    if step.kind == "slice":
        return ops.take(read[0], step.index, axis=-1)
    if step.rule.kind == "separable":
        return _separable(step, read[0])
    known = {id(t): x for t, x in zip(step.node.input_tensors, read, strict=True)}
    args, kwargs = step.node.arguments.fill_in(known)
    if isinstance(step.layer, keras.layers.Layer) and _has_training(step.layer):
        kwargs = kwargs | {"training": False}
    return keras.tree.flatten(step.layer(*args, **kwargs))[step.part]


def _has_training(layer: keras.layers.Layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _separable(step: LayerCall, x: Any) -> Any:
    layer = step.layer
    x = ops.cast(x, layer.compute_dtype)
    if step.kind == "depthwise":
        rank = len(step.kernel_size)
        # As in Keras, because TensorFlow's kernel rejects a tuple of unequal strides.
        strides = layer.strides if rank > 1 else layer.strides[0]
        return ops.depthwise_conv(
            x,
            ops.cast(layer.depthwise_kernel, x.dtype),
            strides,
            layer.padding,
            None,
            layer.dilation_rate,
        )
    x = ops.conv(x, ops.cast(layer.pointwise_kernel, x.dtype), padding="valid")
    if layer.use_bias:
        x = ops.add(x, ops.cast(layer.bias, x.dtype))
    return x if layer.activation is None else layer.activation(x)
