"""A functional Keras model as a list of steps, each saying how a layer carries channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.rules import GROUPED, ChannelRule, refusal, rule_of

PRODUCERS = ("conv", "conv_transpose", "dense")
_REDUCING = ("Mean", "Max", "Min", "Amax", "Amin", "Sum")


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer, as far as channels are concerned.

    A separable convolution is two steps, and a split is one for each of its parts.

    Attributes:
        kind: ``"input"``; ``"conv"``, ``"conv_transpose"`` and ``"dense"`` make new channels;
            ``"depthwise"`` repeats them (each group of them, when a convolution has groups),
            ``"tile"`` (Flatten, Reshape) lays them out once for each position and ``"untile"``
            gathers them again, ``"concat"`` puts them side by side, ``"slice"`` takes some,
            ``"keep"`` hands them on, ``"mix"`` too but computes with all of them, ``"reduce"``
            makes one number of them, ``"opaque"`` is anything done to the image.
        layer: The Keras layer, or an operation such as an addition of tensors.
        name: Its name; inside a nested model ``"model/layer"``.
        inputs: Numbers of the tensors it reads; step number n makes tensor number n.
        in_shapes: Their shapes without the batch axis, channels last.
        out_shape: Shape of the output without the batch axis, channels last.
        node: The call in Keras' graph.
        rule: The layer's :class:`ChannelRule`.
        kernel: Name of the attribute that holds the kernel, of what has one.
        kernel_size: Size of the kernel, () for a dense layer and what has none.
        groups: Number of groups of a depthwise step or a group normalization.
        index: For a slice, the input channels it takes, int array (out channels,).
        part: Which output of the node this is.
        mixes: Whether its output is computed with all channels.
    """

    kind: str
    layer: keras.Operation
    name: str
    inputs: tuple[int, ...]
    in_shapes: tuple[tuple[int | None, ...], ...]
    out_shape: tuple[int | None, ...]
    node: Any
    rule: ChannelRule
    kernel: str | None = None
    kernel_size: tuple[int, ...] = ()
    groups: int = 1
    index: np.ndarray | None = None
    part: int = 0
    mixes: bool = False

    @property
    def in_channels(self) -> tuple[int, ...]:
        """Number of channels of each input."""
        return tuple(_channels(shape) for shape in self.in_shapes)

    @property
    def out_channels(self) -> int:
        """Number of channels of the output."""
        return _channels(self.out_shape)

    @property
    def makes_channels(self) -> bool:
        """Whether the layer is a convolution or dense layer, whose width can be chosen."""
        return self.kind in PRODUCERS

    @property
    def normalizes(self) -> bool:
        """Whether it is a batch or group normalization: what comes before it has no scale."""
        return isinstance(
            self.layer, (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
        )


def per_channel(argument: Any) -> bool:
    """Whether an argument of a call is an array with more than one channel."""
    if isinstance(argument, keras.KerasTensor) or not hasattr(argument, "shape"):
        return False
    return len(argument.shape) > 0 and argument.shape[-1] != 1


def functional(model: keras.Model) -> keras.Model:
    """The functional model that a functional or built sequential model is.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"expected a built functional Keras model, got {type(model).__name__}"
            f"{f' {model.name!r}' if hasattr(model, 'name') else ''}; "
            "build a Sequential model first, and pass the inner model of a subclassed one"
        )
    return model


def nodes(model: keras.Model) -> Iterator[Any]:
    """The calls of a functional model in topological order."""
    for _, at_depth in sorted(functional(model)._nodes_by_depth.items(), reverse=True):
        yield from at_depth


def walk(model: keras.Model) -> tuple[list[Step], list[int]]:
    """List the calls of a functional model, and of the models inside it, in topological order.

    Args:
        model: A built functional or sequential Keras model, channels last.

    Returns:
        The steps, and the numbers of the model's output tensors.

    Raises:
        ValueError: If a layer's effect on channels is not known, or the model has another form.
    """
    walker = _Walker()
    return walker.steps, walker.visit(functional(model), None, "")


class _Walker:
    """The steps so far, and what is known about their tensors."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.called: set[keras.Operation] = set()
        # Whether only what is done to the image has led to a tensor, step by step.
        self.image: list[bool] = []

    def visit(self, model: keras.Model, inputs: list[int] | None, prefix: str) -> list[int]:
        """Adds the steps of a model; returns the numbers of its outputs."""
        numbers: dict[int, int] = {}
        if inputs is not None:
            if len(inputs) != len(model.inputs):
                raise ValueError(
                    f"model {prefix[:-1]!r} has {len(model.inputs)} inputs and is called with "
                    f"{len(inputs)}; call it with all of them"
                )
            numbers = {id(t): n for t, n in zip(model.inputs, inputs, strict=True)}
        for node in nodes(model):
            layer, outputs = node.operation, node.outputs
            if layer in self.called and getattr(layer, "weights", None):
                raise ValueError(
                    f"layer {prefix + layer.name!r} is called twice; shared weights cannot be "
                    "resized: give each call a layer of its own"
                )
            if node.is_input and id(outputs[0]) in numbers:
                continue
            self.called.add(layer)
            read = [numbers[id(t)] for t in node.input_tensors]
            if isinstance(layer, keras.Model):
                made = self.visit(functional(layer), read, f"{prefix}{layer.name}/")
            else:
                made = self.add(node, read, prefix + layer.name)
            numbers |= {id(t): n for t, n in zip(outputs, made, strict=True)}
        return [numbers[id(t)] for t in model.outputs]

    def add(self, node: Any, inputs: list[int], name: str) -> list[int]:
        shapes = [self.steps[i].out_shape for i in inputs]
        outputs = self._output_shapes(node, shapes)
        on_image = bool(inputs) and all(self.image[i] for i in inputs)
        made = []
        try:
            described = [*_describe(node, shapes, outputs, on_image)]
        except ValueError as error:
            kind = type(node.operation).__name__
            raise ValueError(f"layer {name!r} ({kind}): {error}") from None
        for suffix, extra in described:
            read = [len(self.steps) - 1] if extra.pop("chained", False) else inputs
            extra = {"in_shapes": tuple(shapes), "out_shape": outputs[0]} | extra
            step = Step(
                layer=node.operation, name=name + suffix, inputs=tuple(read), node=node, **extra
            )
            self.steps.append(step)
            keeps = step.kind in ("keep", "mix", "slice", "opaque", "concat", "reduce")
            self.image.append(step.kind == "input" or (on_image and keeps))
            made.append(len(self.steps) - 1)
        return made[-1:] if len(outputs) == 1 else made

    def _output_shapes(self, node: Any, shapes: list) -> list[tuple[int | None, ...]]:
        """Shapes of a node's outputs; known better where a nested model left sides open."""
        outputs = node.outputs
        if not node.is_input and [tuple(t.shape[1:]) for t in node.input_tensors] != shapes:
            known = {
                id(t): keras.KerasTensor((None, *shape), t.dtype)
                for t, shape in zip(node.input_tensors, shapes, strict=True)
            }
            args, kwargs = node.arguments.fill_in(known)
            outputs = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
        return [tuple(t.shape[1:]) for t in outputs]


def _describe(node, shapes: list, outputs: list, on_image: bool) -> Iterator[tuple[str, dict]]:
    """Name suffix and attributes of each step that a call is; ValueError where it cannot be one."""
    cls = type(node.operation)
    if why := refusal(cls):
        raise ValueError(f"{why}; register_layer(cls, rule) takes a rule of your own")
    rule = rule_of(cls)
    last = len(outputs[0])
    for shape in outputs:
        if not shape or shape[-1] is None:
            raise ValueError(
                f"the number of channels is unknown in {shape}; give Input a fixed shape"
            )
    if rule is not None:
        try:
            yield from _DESCRIBE.get(rule.kind, _keep)(node, rule, shapes, outputs, last)
            return
        except ValueError:
            if not on_image:
                raise
    if on_image and not _has_kernel(rule):
        for part, shape in enumerate(outputs):
            yield "", dict(kind="opaque", rule=_OPAQUE, out_shape=shape, part=part)
        return
    raise ValueError(
        "its effect on channels is not known; say what it does with "
        "resbuilder.morphnet.register_layer"
    )


_OPAQUE = ChannelRule("opaque")


def _has_kernel(rule: ChannelRule | None) -> bool:
    return rule is not None and rule.kind in (*PRODUCERS, "depthwise", "separable")


def _input(node, rule, shapes, outputs, last):
    yield "", dict(kind="input", rule=rule)


def _kernel(node, rule, shapes, outputs, last):
    layer = node.operation
    _check_weights(layer)
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    size = tuple(getattr(layer, "kernel_size", ()))
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
            raise ValueError(f"groups are supported in convolutions only, got groups={groups}")
        yield "", common | dict(kind="depthwise", groups=groups, rule=GROUPED)
    else:
        yield "", common | dict(kind=rule.kind)


def _check_weights(layer) -> None:
    if getattr(layer, "lora_enabled", False):
        raise ValueError(
            f"it has LoRA enabled (rank {layer.lora_rank}), so its kernel is a sum; save and "
            "load the model, which merges it, and shrink what was loaded"
        )
    if getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"its weights are quantized ({layer.quantization_mode}); shrink the model before "
            "quantizing it"
        )
    if _has_weights(getattr(layer, "activation", None)):
        raise ValueError(
            f"its activation {type(layer.activation).__name__} has weights; make it a layer of "
            "its own behind this one"
        )


def _has_weights(activation: Any) -> bool:
    """Whether an activation is a layer that makes weights; Keras does so late, or never."""
    plain = keras.layers.Layer.build
    return isinstance(activation, keras.layers.Layer) and type(activation).build is not plain


def _keep(node, rule, shapes, outputs, last):
    layer, name = node.operation, type(node.operation).__name__
    if getattr(layer, "gamma", None) is not None and hasattr(layer, "axis"):
        if not {-1, last} & set(np.atleast_1d(layer.axis).tolist()):
            raise ValueError("channels must be on the last axis")
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    if _has_weights(getattr(layer, "activation", None)):
        _check_weights(layer)
    channels, kind = outputs[0][-1], rule.kind
    widths = [shape[-1] for shape in shapes]
    if kind == "mix" and hasattr(layer, "axis"):
        if last not in {a % (last + 1) for a in np.atleast_1d(layer.axis).tolist()}:
            if getattr(layer, "weights", None):
                raise ValueError("channels must be on the last axis")
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
            f"it makes {channels} channels of {', '.join(map(str, widths))}, which do not "
            "correspond to each other"
        )
    constants = [a for a in node.arguments._flat_arguments if per_channel(a)]
    if any(a.shape[-1] != channels for a in constants):
        raise ValueError(f"a constant of the shape {tuple(constants[0].shape)} widens its input")
    elementwise = kind != "keep" or _is_elementwise(getattr(layer, "activation", None), channels)
    yield "", dict(kind="keep" if elementwise and kind == "keep" else "mix", rule=rule)


def _concat(node, rule, shapes, outputs, last):
    if node.operation.axis not in (-1, last):
        raise ValueError("channels must be on the last axis")
    yield "", dict(kind="concat", rule=rule)


def _reshape(node, rule, shapes, outputs, last):
    if getattr(node.operation, "data_format", None) == "channels_first":
        raise ValueError("channels must be on the last axis")
    before, after = shapes[0][-1], outputs[0][-1]
    # Channels run fastest, before and after: index p·C + c is channel c.
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
            "channels must be taken by a slice such as x[..., :1], which keeps their axis, got "
            f"{taken!r}"
        )
    index = channels[taken]
    if (np.abs(np.diff(index)) > 1).any():
        raise ValueError(
            f"it takes channels in steps of {taken.step}, and those left after pruning would not "
            "be evenly spaced; take neighbouring channels, x[..., :n]"
        )
    whole = np.array_equal(index, channels)
    yield "", dict(kind="keep" if whole else "slice", rule=rule, index=None if whole else index)


def sliced_key(node: Any, rank: int) -> tuple[tuple, Any]:
    """Key of ``x[key]`` for everything but channels, and for channels.

    Args:
        node: The call.
        rank: Rank of x without the batch axis.
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
        raise ValueError("channels must be on the last axis")
    groups = channels if layer.groups == -1 else layer.groups

    def config(config: dict, inputs: np.ndarray, outputs: np.ndarray) -> dict:
        return config | {"groups": len(outputs) * groups // channels}

    kind = "mix" if groups == 1 else "keep"
    rule = rule if groups == 1 else ChannelRule("keep", config)
    yield "", dict(kind=kind, rule=rule, groups=groups)


_DESCRIBE: dict[str, Callable] = {
    "input": _input,
    **dict.fromkeys((*PRODUCERS, "depthwise", "separable"), _kernel),
    "concat": _concat,
    "reshape": _reshape,
    "slice": _slice,
    "group_norm": _group_norm,
}


def _is_elementwise(function: Any, channels: int) -> bool:
    """Whether an activation treats channels apart; tried out, because it may be anybody's.

    Raises:
        ValueError: If it changes the number of channels.
    """
    if function is None or channels < 2:
        return True
    x = np.random.default_rng(0).normal(size=(2, 3, 3, channels)).astype("float32")
    changed = x.copy()
    changed[..., 0] += 1
    before, after = (ops.convert_to_numpy(function(ops.convert_to_tensor(v))) for v in (x, changed))
    if before.shape != x.shape:
        raise ValueError(f"its activation turns {channels} channels into {before.shape[-1]}")
    return bool(np.allclose(before[..., 1:], after[..., 1:], atol=1e-6))


def kernel_of(step: Step) -> np.ndarray:
    """Kernel of a step as an array whose last axes are inputs and outputs.

    For a depthwise step of G groups: (…, inputs of a group, outputs), for all groups in turn.
    """
    value = ops.convert_to_numpy(getattr(step.layer, str(step.kernel)))
    if step.kind == "conv_transpose":
        return np.swapaxes(value, -1, -2)
    if step.kind == "depthwise" and step.rule is not GROUPED:
        return value.reshape(*value.shape[:-2], 1, -1)
    return value


def _channels(shape: tuple[int | None, ...]) -> int:
    channels = shape[-1]
    assert channels is not None, "a step whose channels are unknown is refused when it is made"
    return channels


def positions(shape: tuple[int | None, ...]) -> int | None:
    """Number of positions of a tensor of a shape without batch axis, None where it is unknown."""
    known = [side for side in shape[:-1] if side is not None]
    return prod(known) if len(known) == len(shape) - 1 else None
