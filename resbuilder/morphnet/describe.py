"""What a layer call does to channels: the attributes of the steps that represent it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.layer_call import per_channel
from resbuilder.morphnet.rules import GROUPED, KERNELS, ChannelRule, refusal, rule_of

_REDUCING = ("Mean", "Max", "Min", "Amax", "Amin", "Sum")
_OPAQUE = ChannelRule("opaque")


def describe(node, shapes: list, outputs: list, on_image: bool) -> Iterator[tuple[str, dict]]:
    """Yield the name suffix and the attributes of each step that represents a call.

    Args:
        node: The call in Keras' graph.
        shapes: Shapes of its inputs, without the batch axis.
        outputs: Shapes of its outputs, without the batch axis.
        on_image: Whether the inputs are the image or computed from it without a kernel.

    Raises:
        ValueError: If the effect of the call on channels is not supported.
    """
    cls = type(node.operation)
    if isinstance(node.arguments.kwargs.get("mask"), keras.KerasTensor):
        raise ValueError(
            "it reads the mask of a Masking layer or of an Embedding with mask_zero=True, and "
            "models with masks are not supported"
        )
    if why := refusal(cls):
        raise ValueError(f"{why}; define your own rule with register_layer(cls, rule)")
    rule = rule_of(cls)
    last = len(outputs[0])
    for shape in outputs:
        if not shape or shape[-1] is None:
            raise ValueError(
                f"the number of channels in {shape} is unknown; give Input a fixed shape"
            )
    if rule is not None:
        try:
            yield from _DESCRIBE.get(rule.kind, _keep)(node, rule, shapes, outputs, last)
            return
        except ValueError:
            if not on_image or _has_kernel(rule):
                raise
    if on_image and not _has_kernel(rule):
        _check_preprocessing(node.operation, outputs[0])
        for part, shape in enumerate(outputs):
            yield "", dict(kind="opaque", rule=_OPAQUE, out_shape=shape, part=part)
        return
    raise ValueError(
        "its effect on channels is unknown; describe it with resbuilder.morphnet.register_layer"
    )


def _has_kernel(rule: ChannelRule | None) -> bool:
    return rule is not None and rule.kind in KERNELS


def _check_preprocessing(layer: Any, output: tuple) -> None:
    """Raise ValueError if a layer on the image has a kernel, which would not be counted."""
    if isinstance(layer, keras.layers.Embedding) or not isinstance(layer, keras.layers.Layer):
        return
    weights = layer.weights if isinstance(layer, keras.layers.Wrapper) else layer.trainable_weights
    # A table of positions has the shape of what it is added to.
    if any(len(w.shape) > 1 and tuple(w.shape) != output[-len(w.shape) :] for w in weights):
        raise ValueError(
            "its weights would neither be counted nor pruned; describe it with "
            "resbuilder.morphnet.register_layer, or use a convolution or dense layer of Keras"
        )


def _input(node, rule, shapes, outputs, last):
    yield "", dict(kind="input", rule=rule)


def _kernel(node, rule, shapes, outputs, last):
    layer = node.operation
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "its kernel is not a weight of a layer, so it can be neither counted nor pruned; use a "
            "layer of Keras"
        )
    _check_weights(layer)
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    kernel = layer.depthwise_kernel if rule.kind == "separable" else layer.kernel
    size = tuple(kernel.shape[:-2])
    groups = getattr(layer, "groups", 1)
    mixes = not _is_elementwise(getattr(layer, "activation", None), outputs[0][-1])
    common = dict(rule=rule, kernel="kernel", kernel_size=size, mixes=mixes)
    if rule.kind == "separable":
        channels = shapes[0][-1] * layer.depth_multiplier
        between = (*outputs[0][:-1], channels)
        common |= dict(kernel="depthwise_kernel", mixes=False)
        yield (
            "/depthwise",
            common | dict(kind="depthwise", out_shape=between, groups=shapes[0][-1]),
        )
        common |= dict(kernel="pointwise_kernel", kernel_size=(1,) * len(size), mixes=mixes)
        yield "", common | dict(kind="conv", in_shapes=(between,), chained=True)
    elif rule.kind == "depthwise":
        yield "", common | dict(kind="depthwise", groups=shapes[0][-1])
    elif groups != 1:
        if rule.kind != "conv":
            raise ValueError(f"only convolutions can have groups, got groups={groups}")
        yield "", common | dict(kind="depthwise", groups=groups, rule=GROUPED)
    else:
        yield "", common | dict(kind=rule.kind)


def _check_weights(layer) -> None:
    if getattr(layer, "lora_enabled", False):
        raise ValueError(
            f"it has LoRA enabled (rank {layer.lora_rank}), so its kernel is a sum; save and "
            "load the model to merge it, then shrink the loaded model"
        )
    if getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"its weights are quantized ({layer.quantization_mode}); shrink the model before "
            "quantizing it"
        )
    if _has_weights(getattr(layer, "activation", None)):
        raise ValueError(
            f"its activation {type(layer.activation).__name__} has weights; make it a separate "
            "layer after this one"
        )


def _other_axis(does: str, layer: Any) -> ValueError:
    """Return the error of a layer along another axis than that of the channels."""
    return ValueError(f"it {does} along axis {layer.axis}, but channels must be on the last axis")


def _has_weights(activation: Any) -> bool:
    """Return whether an activation is a layer with weights, which Keras may not have built yet."""
    plain = keras.layers.Layer.build
    return isinstance(activation, keras.layers.Layer) and type(activation).build is not plain


def _keep(node, rule, shapes, outputs, last):
    layer, name = node.operation, type(node.operation).__name__
    normalizes = isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Normalization))
    if (normalizes or getattr(layer, "gamma", None) is not None) and hasattr(layer, "axis"):
        axes = set(np.atleast_1d(layer.axis).astype(int).tolist())
        if axes and not {-1, last} & axes:
            raise _other_axis("normalizes", layer)
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    if _has_weights(getattr(layer, "activation", None)):
        _check_weights(layer)
    if not isinstance(layer, keras.layers.Layer) and any(map(per_channel, vars(layer).values())):
        raise ValueError(
            "it holds an array with one value for each channel; use an operation that takes it as "
            "an argument, such as keras.ops.minimum"
        )
    channels, kind = outputs[0][-1], rule.kind
    widths = [shape[-1] for shape in shapes]
    if kind == "mix" and hasattr(layer, "axis"):
        if last not in {a % (last + 1) for a in np.atleast_1d(layer.axis).tolist()}:
            if getattr(layer, "weights", None):
                raise _other_axis("works", layer)
            kind = "keep"
    reduces = name in _REDUCING or (name == "Average" and hasattr(layer, "axis"))
    if name in ("Squeeze", "ExpandDims") or reduces:
        rank = len(shapes[0]) + (2 if name == "ExpandDims" else 1)
        given = range(rank) if layer.axis is None else np.atleast_1d(layer.axis).tolist()
        axes = {a % rank for a in given}
        if rank - 1 in axes:
            if reduces and getattr(layer, "keepdims", False):
                yield "", dict(kind="reduce", rule=rule)
                return
            raise ValueError("it removes the axis of channels")
    if name == "Pad" and any(np.atleast_2d(layer.pad_width)[-1]):
        raise ValueError("it pads the axis of channels")
    if channels not in widths or any(w not in (1, channels) for w in widths):
        raise ValueError(
            f"it turns {', '.join(map(str, widths))} channels into {channels}, which do not "
            "correspond to each other"
        )
    constants = [a for a in node.arguments._flat_arguments if per_channel(a)]
    if any(a.shape[-1] != channels for a in constants):
        raise ValueError(f"a constant of shape {tuple(constants[0].shape)} widens its input")
    elementwise = kind != "keep" or _is_elementwise(getattr(layer, "activation", None), channels)
    yield "", dict(kind="keep" if elementwise and kind == "keep" else "mix", rule=rule)


def _concat(node, rule, shapes, outputs, last):
    if node.operation.axis not in (-1, last):
        raise ValueError(
            f"it concatenates along axis {node.operation.axis}, but only channels, on the last "
            "axis, can be concatenated"
        )
    yield "", dict(kind="concat", rule=rule)


def _reshape(node, rule, shapes, outputs, last):
    if getattr(node.operation, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    before, after = shapes[0][-1], outputs[0][-1]
    # Channels are the last axis before and after, so index p·C + c is channel c of position p.
    if after % before == 0:
        yield "", dict(kind="tile", rule=rule)
    elif before % after == 0:
        yield "", dict(kind="untile", rule=rule)
    else:
        raise ValueError(f"reshaping {shapes[0]} to {outputs[0]} mixes channels")


def _slice(node, rule, shapes, outputs, last):
    channels = np.arange(shapes[0][-1])
    if type(node.operation).__name__ == "Split":
        if node.operation.axis not in (-1, last):
            for part, shape in enumerate(outputs):
                yield "", dict(kind="keep", rule=rule, part=part, out_shape=shape)
            return
        for part, index in enumerate(np.split(channels, node.operation.indices_or_sections)):
            yield (
                f"/{part}",
                dict(kind="slice", rule=rule, index=index, part=part, out_shape=outputs[part]),
            )
        return
    _, taken = sliced_key(node, len(shapes[0]))
    if not isinstance(taken, slice):
        raise ValueError(
            "channels must be selected by a slice such as x[..., :1], which keeps their axis, "
            f"got {taken!r}"
        )
    index = channels[taken]
    if (np.abs(np.diff(index)) > 1).any():
        raise ValueError(
            f"it takes channels in steps of {taken.step}, which would not be evenly spaced after "
            "pruning; take adjacent channels, x[..., :n]"
        )
    whole = np.array_equal(index, channels)
    yield "", dict(kind="keep" if whole else "slice", rule=rule, index=None if whole else index)


def sliced_key(node: Any, rank: int) -> tuple[tuple, Any]:
    """Return the key of ``x[key]`` for all axes but the last, and the key for channels.

    Args:
        node: The call.
        rank: Rank of x without the batch axis.

    Raises:
        ValueError: If the key adds an axis.
    """
    key = [*node.arguments.args, *node.arguments.kwargs.values()][1]
    key = tuple(key) if isinstance(key, (list, tuple)) else (key,)
    if any(k is None for k in key):
        raise ValueError("it adds an axis; use keras.ops.expand_dims")
    ellipses = [i for i, k in enumerate(key) if k is Ellipsis]
    if ellipses:
        at = ellipses[0]
        key = key[:at] + (slice(None),) * (rank + 2 - len(key)) + key[at + 1 :]
    key += (slice(None),) * (rank + 1 - len(key))
    return key[:-1], key[-1]


def _group_norm(node, rule, shapes, outputs, last):
    layer, channels = node.operation, outputs[0][-1]
    if layer.axis not in (-1, last):
        raise _other_axis("normalizes", layer)
    groups = channels if layer.groups == -1 else layer.groups

    def config(config: dict, inputs: np.ndarray, outputs: np.ndarray) -> dict:
        return config | {"groups": len(outputs) * groups // channels}

    kind = "mix" if groups == 1 else "keep"
    rule = rule if groups == 1 else ChannelRule("keep", config)
    yield "", dict(kind=kind, rule=rule, groups=groups)


_DESCRIBE: dict[str, Callable] = {
    "input": _input,
    **dict.fromkeys(KERNELS, _kernel),
    "concat": _concat,
    "reshape": _reshape,
    "slice": _slice,
    "group_norm": _group_norm,
}


def _is_elementwise(function: Any, channels: int) -> bool:
    """Return whether an activation treats each channel separately.

    This is tested on numbers, because the activation may be any function.

    Raises:
        ValueError: If it changes the number of channels.
    """
    if function is None or channels < 2:
        return True
    function = keras.activations.get(function)  # A custom layer may have its name.
    x = np.random.default_rng(0).normal(size=(2, 3, 3, channels)).astype("float32")

    def result(change: float) -> np.ndarray:
        changed = x.copy()
        changed[..., 0] += change
        return ops.convert_to_numpy(function(ops.convert_to_tensor(changed)))

    before = result(0)
    if before.shape != x.shape:
        raise ValueError(f"its activation turns {channels} channels into {before.shape[-1]}")
    # A large change, too: the function may depend on the largest or smallest channel only.
    changed = (result(change) for change in (1, 100, -100))
    return all(np.allclose(before[..., 1:], after[..., 1:], atol=1e-6) for after in changed)
