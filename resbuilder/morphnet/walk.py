"""A functional Keras model as a list of steps, which say how each layer treats channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from resbuilder.morphnet.describe import describe
from resbuilder.morphnet.layer_call import LayerCall


def functional(model: keras.Model) -> keras.Model:
    """Return a functional model itself, or the functional model inside a sequential one.

    Raises:
        ValueError: If the model is neither functional nor a built sequential model, or its class
            overrides ``call``.
    """
    cls, name = type(model), getattr(model, "name", "")
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"expected a built functional Keras model, got {type(model).__name__}"
            f"{f' {model.name!r}' if hasattr(model, 'name') else ''}; "
            "build a Sequential model first; of a subclassed model, pass the functional one inside"
        )
    own = next(one for one in cls.__mro__ if "call" in vars(one))
    if not own.__module__.startswith("keras."):
        raise ValueError(
            f"{own.__name__} overrides call, so its layers do not say what model {name!r} "
            "computes; pass a functional model without its own call"
        )
    return model


def nodes(model: keras.Model) -> Iterator[Any]:
    """Yield the calls of a functional model in topological order."""
    for _, at_depth in sorted(functional(model)._nodes_by_depth.items(), reverse=True):
        yield from at_depth


def read_by(node: Any) -> list[Any]:
    """Return the tensors that a call reads; those of a nested model in the order of its inputs.

    A model with a list of inputs may be called with a dict of tensors by their names.
    """
    model = node.operation
    if node.is_input or not isinstance(model, keras.Model):
        return node.input_tensors
    inner = functional(model)
    given = (*node.arguments.args, *node.arguments.kwargs.values())[0]
    if isinstance(given, dict) and not isinstance(inner._inputs_struct, dict):
        return [given[tensor.name] for tensor in inner.inputs]
    return node.input_tensors


def walk(model: keras.Model) -> tuple[list[LayerCall], list[int]]:
    """List the calls of a functional model and its nested models in topological order.

    Args:
        model: A built functional or sequential Keras model, channels last.

    Returns:
        The steps, and the numbers of the model's output tensors.

    Raises:
        ValueError: If a layer's effect on channels is unknown, or the model is not functional.
    """
    walker = _Walker()
    return walker.steps, walker.visit(functional(model), None, "")


class _Walker:
    """Collects steps, and what is known about their tensors."""

    def __init__(self) -> None:
        self.steps: list[LayerCall] = []
        self.called: set[keras.Operation] = set()
        # For each step, whether its output is the image or computed from it without a kernel.
        self.image: list[bool] = []

    def visit(self, model: keras.Model, inputs: list[int] | None, prefix: str) -> list[int]:
        """Add the steps of a model, and return the numbers of its outputs."""
        numbers: dict[int, int] = {}
        if inputs is not None:
            if len(inputs) != len(model.inputs):
                raise ValueError(
                    f"model {prefix[:-1]!r} has {len(model.inputs)} inputs but is called with "
                    f"{len(inputs)}; call it with all of them"
                )
            numbers = {id(t): n for t, n in zip(model.inputs, inputs, strict=True)}
        for node in nodes(model):
            layer, outputs = node.operation, node.outputs
            if layer in self.called and getattr(layer, "weights", None):
                raise ValueError(
                    f"layer {prefix + layer.name!r} is called twice; shared weights cannot be "
                    "resized: use a separate layer for each call"
                )
            if node.is_input and id(outputs[0]) in numbers:
                continue
            self.called.add(layer)
            read = [numbers[id(t)] for t in read_by(node)]
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
            described = [*describe(node, shapes, outputs, on_image)]
        except ValueError as error:
            kind = type(node.operation).__name__
            raise ValueError(f"layer {name!r} ({kind}): {error}") from None
        for suffix, extra in described:
            read = [len(self.steps) - 1] if extra.pop("chained", False) else inputs
            extra = {"in_shapes": tuple(shapes), "out_shape": outputs[0]} | extra
            step = LayerCall(
                layer=node.operation, name=name + suffix, inputs=tuple(read), node=node, **extra
            )
            self.steps.append(step)
            keeps = step.kind in ("keep", "mix", "slice", "opaque", "concat", "reduce")
            self.image.append(step.kind == "input" or (on_image and keeps))
            made.append(len(self.steps) - 1)
        return made[-1:] if len(outputs) == 1 else made

    def _output_shapes(self, node: Any, shapes: list) -> list[tuple[int | None, ...]]:
        """Return the shapes of a node's outputs, with sizes that a nested model left open."""
        outputs = node.outputs
        if not node.is_input and [tuple(t.shape[1:]) for t in node.input_tensors] != shapes:
            known = {
                id(t): keras.KerasTensor((None, *shape), t.dtype)
                for t, shape in zip(node.input_tensors, shapes, strict=True)
            }
            args, kwargs = node.arguments.fill_in(known)
            outputs = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
        return [tuple(t.shape[1:]) for t in outputs]
