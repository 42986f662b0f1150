"""Mean outputs of removed channels, which are folded into the layers that read them.

A dead channel still has a nonzero output after a batch normalization, for example relu(β). Let a
convolution or dense layer read the channels x, of which the set D is removed. Its bias becomes

    b′ = b + Σ_{i ∈ D} E[x_i] · Σ_positions w_i

which leaves its outputs unchanged if the removed channels are constant and the kernel lies within
the image.

Without images, E[x] follows from the weights: 128 samples of each channel pass through the network
instead of images. They are independent and normally distributed, after a convolution with mean
b + Σ w·E[x] and variance Σ w²·Var[x] (a sum of many terms), and after a batch normalization with
mean β and standard deviation |γ|·σ/√(σ²+ε) (its moving statistics). Invariant: constants pass
exactly. A removed channel counts as its constant, so a channel computed from removed channels
alone is constant too.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import ndtri

from resbuilder.morphnet.forward import forward
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall, kernel_of, positions
from resbuilder.morphnet.rules import is_spatial

SAMPLES = 128
# Side of the images of a model whose image size is unknown.
SIDE = 16
# Numbers in a tensor of whole images that is computed at a time.
AT_ONCE = 2**22


def expected_values(graph: ChannelGraph, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Estimate the mean of each channel of every tensor from the weights alone.

    Args:
        graph: The analyzed model.
        kept: Which output channels of each step stay, bool arrays (channels,).

    Returns:
        A float32 array (channels,) for the output of each step.
    """
    rng = np.random.default_rng(0)
    samples: list[np.ndarray] = []
    for step in graph.steps:
        read = [samples[i] for i in step.inputs]
        stay = [kept[i] for i in step.inputs]
        samples.append(_sampled(step, read, stay, rng).astype("float32"))
    return [values.mean(axis=0) for values in samples]


def measured_values(
    graph: ChannelGraph, images: Any, expected: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Measure on images the mean of each channel that a layer reads.

    Args:
        graph: The analyzed model.
        images: A batch for the model's input, or a list with a batch for each input.
        expected: Means from :func:`expected_values`, used for the outputs of the model.

    Returns:
        A float32 array (channels,) for the output of each step.
    """
    result, measured = list(expected), set[int]()

    def visit(n: int, read: list[Any]) -> list[Any]:
        for i, tensor in zip(graph.steps[n].inputs, read, strict=True):
            if i not in measured:
                measured.add(i)
                x = ops.convert_to_numpy(ops.cast(tensor, "float32"))
                result[i] = x.reshape(-1, x.shape[-1]).mean(axis=0)
        return read

    forward(graph, images, visit)
    return result


def shift(step: LayerCall, means: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Return what the removed channels add to each output of a convolution or dense layer.

    Args:
        step: The convolution or dense layer.
        means: Mean of each input channel, float (inputs,).
        removed: Which of them are removed, bool (inputs,).

    Returns:
        Float array (outputs,). It is exact for output positions whose whole window lies inside
        the image. If these are fewer than half, it is the mean over all output positions.
    """
    return _taps(step)[removed].T @ means[removed]


def _taps(step: LayerCall) -> np.ndarray:
    """Return the sum of the kernel over its positions, weighted by _inside, (inputs, outputs)."""
    kernel = kernel_of(step).astype("float64")
    total = np.tensordot(_inside(step, kernel.shape[:-2]), kernel, kernel.ndim - 2)
    # On average, an output of a transposed convolution gets 1/∏ strides of the kernel positions.
    return total / prod(step.layer.strides) if step.kind == "conv_transpose" else total


def _inside(step: LayerCall, size: tuple[int, ...]) -> np.ndarray:
    """Return the weight of each kernel position, a float array of the kernel's size.

    If at least half of the windows lie entirely inside the image, all weights are 1, and the sum
    is exact for these windows. Otherwise the weight is the share of windows in which the position
    reads the image, not the padding. On small images the sum is then right on average, and for an
    image of one pixel it is exact.
    """
    layer = step.layer
    sides = (step.in_shapes[0][:-1], step.out_shape[:-1])
    padding = getattr(layer, "padding", "valid")
    if padding not in ("same", "causal") or step.kind == "conv_transpose" or set(size) <= {1}:
        return np.ones(size)
    strides, dilations = (
        np.broadcast_to(getattr(layer, name, 1), len(size)) for name in ("strides", "dilation_rate")
    )
    share, whole = np.ones(()), 1.0
    for taps, stride, dilation, read, made in zip(size, strides, dilations, *sides, strict=True):
        if read is None or made is None:
            return np.ones(size)
        reach = (taps - 1) * dilation
        before = max((made - 1) * stride + reach + 1 - read, 0) // 2
        if padding == "causal":
            before = reach
        at = np.arange(made)[:, None] * stride - before + np.arange(taps) * dilation
        inside = (at >= 0) & (at < read)
        whole *= inside.all(axis=1).mean()
        share = np.multiply.outer(share, inside.mean(axis=0))
    return np.ones(size) if whole >= 0.5 else share


def _sampled(step: LayerCall, read: list, stay: list, rng: np.random.Generator) -> np.ndarray:
    """Return samples of a step's output, (SAMPLES, channels)."""
    channels = step.out_channels
    if step.kind in ("input", "opaque"):
        return _normal(rng, np.zeros(channels), np.ones(channels))
    if step.makes_channels or step.kind == "depthwise":
        return _convolved(step, read[0], stay[0], rng)
    if step.kind == "concat":
        return np.concatenate(read, axis=-1)
    if step.kind == "tile":
        return np.tile(read[0], channels // read[0].shape[-1])
    if step.kind == "untile":
        return read[0].reshape(SAMPLES, -1, channels).mean(axis=1)
    if step.kind == "slice":
        return read[0][:, step.index]
    if step.kind == "reduce":
        return np.repeat(read[0].mean(axis=1, keepdims=True), channels, axis=1)
    if isinstance(step.layer, keras.layers.BatchNormalization):
        return _batch_normalized(step.layer, read[0], rng)
    if step.normalizes or "Normalization" in type(step.layer).__name__ and step.kind == "mix":
        return _normalized(step, read[0], rng)
    if type(step.layer).__name__ in ("GetItem", "Split") or is_spatial(type(step.layer)):
        if type(step.layer).__name__ == "Sum":
            before, after = positions(step.in_shapes[0]), positions(step.out_shape)
            return read[0] * ((before or 1) / (after or 1))
        return read[0]
    return _called(step, read)


def _convolved(step: LayerCall, x: np.ndarray, stay: np.ndarray, rng) -> np.ndarray:
    kernel = kernel_of(step).astype("float64")
    mean, variance = x.mean(axis=0), x.var(axis=0) * stay * (np.ptp(x, axis=0) > 0)
    squares = np.square(kernel).reshape(-1, *kernel.shape[-2:]).sum(axis=0)
    taps = _taps(step)
    if step.kind == "depthwise":
        # For each group: (groups, members) times (members, groups, outputs of a group).
        shape = (kernel.shape[-2], step.groups, -1)
        mean, variance = (v.reshape(step.groups, -1) for v in (mean, variance))
        center, variance = (
            np.einsum("gm,mgo->go", v, w.reshape(shape)).ravel()
            for v, w in ((mean, taps), (variance, squares))
        )
    else:
        center, variance = mean @ taps, variance @ squares
    # A separable convolution has its bias and activation after its second, pointwise step.
    unfinished = step.rule.kind == "separable" and step.kind == "depthwise"
    if not unfinished:
        center = center + _weight(step.layer, "bias", np.zeros(len(center)))
    values = _normal(rng, center, np.sqrt(variance))
    if unfinished:
        return values
    activation = keras.activations.get(getattr(step.layer, "activation", None))
    return _array(activation(ops.convert_to_tensor(values)))


def _batch_normalized(layer, x: np.ndarray, rng) -> np.ndarray:
    channels = x.shape[-1]
    gamma, beta = _weight(layer, "gamma", np.ones(channels)), _weight(layer, "beta", 0.0)
    mean, variance = (_array(v) for v in (layer.moving_mean, layer.moving_variance))
    deviation = np.sqrt(variance + layer.epsilon)
    varying = _normal(
        rng, np.broadcast_to(beta, channels), np.abs(gamma) * np.sqrt(variance) / deviation
    )
    return np.where(np.ptp(x, axis=0) > 0, varying, gamma * (x - mean) / deviation + beta)


def _normalized(step: LayerCall, x: np.ndarray, rng) -> np.ndarray:
    """Return samples after layer or group normalization, exact for groups without variation."""
    channels = x.shape[-1]
    gamma, beta = _weight(step.layer, "gamma", np.ones(channels)), _weight(step.layer, "beta", 0.0)
    varying = _normal(rng, np.broadcast_to(beta, channels), np.abs(gamma))
    if step.kind == "mix":
        return varying
    members = x.reshape(SAMPLES, step.groups, -1)
    deviation = np.sqrt(members.var(axis=-1, keepdims=True) + step.layer.epsilon)
    constant = (members - members.mean(axis=-1, keepdims=True)) / deviation
    varies = (np.ptp(x, axis=0) > 0).reshape(step.groups, -1).any(axis=-1)
    varies = np.repeat(varies, channels // step.groups)
    return np.where(varies, varying, constant.reshape(x.shape) * gamma + beta)


def _called(step: LayerCall, read: list[np.ndarray]) -> np.ndarray:
    """Apply the step's own computation to the samples, each a constant image.

    Most steps treat each position alone, so that one position is enough. Others, such as a softmax
    over positions or a blur, need whole images. Two samples tell which it is.
    """
    whole = [
        tuple(SIDE if side is None else side for side in shape[:-1]) for shape in step.in_shapes
    ]
    one = [(1,) * len(sides) for sides in whole]
    few = [x[:2] for x in read]
    if whole == one or np.allclose(
        _on_images(step, few, one), _on_images(step, few, whole), rtol=1e-4, equal_nan=True
    ):
        return _on_images(step, read, one)
    largest = max(prod(sides) * x.shape[-1] for sides, x in zip(whole, read, strict=True))
    count = max(1, AT_ONCE // largest)
    parts = range(0, SAMPLES, count)
    return np.concatenate(
        [_on_images(step, [x[i : i + count] for x in read], whole) for i in parts]
    )


def _on_images(step: LayerCall, read: list[np.ndarray], sides: list[tuple[int, ...]]) -> np.ndarray:
    """Return a step's means over positions, (samples, channels), for constant images.

    The result is NaN if the step does not take images of this size.
    """
    samples = len(read[0])
    # That of its weights, because `call` does not convert as the layer itself does.
    dtype = getattr(step.layer, "variable_dtype", "float32")
    known = {
        id(tensor): ops.convert_to_tensor(
            np.broadcast_to(
                x.reshape(samples, *(1,) * len(size), -1), (samples, *size, x.shape[-1])
            ),
            dtype=dtype,
        )
        for tensor, size, x in zip(step.node.input_tensors, sides, read, strict=True)
    }
    args, kwargs = step.node.arguments.fill_in(known)
    # Call `call`, because the layer itself may check the size of its images.
    call = step.layer.call
    if "training" in inspect.signature(call).parameters:
        kwargs = kwargs | {"training": False}
    nothing = np.full((samples, step.out_channels), np.nan, "float32")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a softmax over one position.
            made = _array(keras.tree.flatten(call(*args, **kwargs))[step.part])
    except Exception:
        if all(prod(size) == 1 for size in sides):
            return nothing
        raise
    # If the layer has a constant or weight for each position, the output has all positions.
    return made.reshape(samples, -1, made.shape[-1]).mean(axis=1) if made.size else nothing


def _normal(rng: np.random.Generator, mean: Any, deviation: Any) -> np.ndarray:
    """Return samples (SAMPLES, channels) with exactly these means: quantiles in random order."""
    quantiles = ndtri((np.arange(SAMPLES) + 0.5) / SAMPLES)
    quantiles = np.repeat(quantiles[:, None] / quantiles.std(), len(mean), axis=1)
    return mean + deviation * rng.permuted(quantiles, axis=0)


def _weight(layer: Any, name: str, default: Any) -> Any:
    value = getattr(layer, name, None)
    return default if value is None else _array(value)


def _array(value: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(value, "float32"))
