"""Rebuilding a model, and the models nested in it, with other channels.

:mod:`.fates` says which tensors are built in the new model, and which are constants that a step
absorbs.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.channels import Map, layer_maps
from resbuilder.morphnet.clones import Clones
from resbuilder.morphnet.describe import sliced_key
from resbuilder.morphnet.fates import BUILT, KEEP_ONE, at_one_number, fates
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall, per_channel
from resbuilder.morphnet.rules import taken
from resbuilder.morphnet.walk import functional, nodes, read_by


def rebuild(
    graph: ChannelGraph,
    maps: Sequence[Map],
    constants: Sequence[np.ndarray] | None = None,
    biased: Collection[str] = (),
) -> keras.Model:
    """Return a model with the same layers but other channels, with random weights, not compiled.

    Args:
        graph: The old model.
        maps: Map of the channels of each of its tensors.
        constants: Values (channels,) of each tensor that is constant; None for zeros.
        biased: Names of convolutions and dense layers that get a bias.

    Raises:
        ValueError: If a layer cannot be built with these channels. The message names the layer.
    """
    return _Builder(graph, maps, constants, biased).top()


class _Builder:
    """Walks through a model in the order of :func:`.walk`, and builds the new one."""

    def __init__(self, graph, maps, constants, biased) -> None:
        self.graph, self.maps, self.constants = graph, maps, constants
        self.fates = fates(graph, maps)
        self.clones = Clones(maps, layer_maps(graph, maps), biased)
        # Nested models that have been built, with the maps of their inputs.
        self.nested: dict[keras.Model, list[tuple[list[Map], keras.Model]]] = {}
        self.at = 0

    def top(self) -> keras.Model:
        model, _ = self.visit(self.graph.model, None, "")
        assert model is not None
        return model

    def take(self, count: int) -> list[int]:
        """Return the numbers of the next steps, and advance."""
        self.at += count
        return list(range(self.at - count, self.at))

    def visit(
        self, model: keras.Model, inputs: list[int] | None, prefix: str
    ) -> tuple[keras.Model | None, list[int]]:
        """Build a model.

        Returns:
            The model, or None if nothing of it is left; and the numbers of its outputs.
        """
        inner = functional(model)
        numbers: dict[int, int] = {}
        tensors: dict[int, Any] = {}
        chain: list[keras.layers.Layer] = []
        given = dict(zip(map(id, inner.inputs), inputs or (), strict=False))
        sequential = isinstance(model, keras.Sequential)
        for node in nodes(inner):
            if node.is_input:
                made = [given[id(node.outputs[0])]] if inputs is not None else self.take(1)
                self._input(node, made[0], tensors, chain)
            elif isinstance(node.operation, keras.Model):
                read = [numbers[id(t)] for t in read_by(node)]
                name = f"{prefix}{node.operation.name}/"
                new, made = self.visit(node.operation, read, name)
                if new is not None:
                    new = self._once(node.operation, new, [self.maps[i] for i in read])
                    chain.append(new)
                    if not sequential:
                        self._call(new, node, made, tensors)
            else:
                step = self.graph.steps[self.at]
                separable = step.rule.kind == "separable"
                made = self.take(2 if separable else len(node.outputs))
                if any(self.fates[n] == BUILT for n in made):
                    if sequential:
                        chain.append(self.clones.operation(self.graph.steps[made[-1]], made[-1]))
                    else:
                        self._build(node, made[-1:] if separable else made, numbers, tensors)
                made = made[-1:] if separable else made
            numbers |= {id(t): n for t, n in zip(node.outputs, made, strict=True)}
        outputs = [numbers[id(t)] for t in inner.outputs]
        built = [self.fates[n] == BUILT for n in outputs]
        if not any(built):
            return None, outputs
        if not all(built) or any(self.fates[n] != BUILT for n in inputs or ()):
            raise ValueError(
                f"some inputs or outputs of model {model.name!r} would have no channel left; "
                f"{KEEP_ONE}"
            )
        made_by = (
            [chain]
            if sequential
            else [
                keras.tree.map_structure(lambda t: tensors[id(t)], struct)
                for struct in (inner._inputs_struct, inner._outputs_struct)
            ]
        )
        before = len(self.nested.get(model, ()))
        name = f"{model.name}_{before + 1}" if before else model.name
        return _class_of(model)(*made_by, name=name), outputs

    def _once(self, old: keras.Model, new: keras.Model, read: list[Map]) -> keras.Model:
        """Return the nested model that was built before for inputs with the same channels."""
        known = self.nested.setdefault(old, [])
        for maps, built in known:
            if all(map(np.array_equal, maps, read)):
                return built
        known.append((read, new))
        return new

    def _input(self, node, number: int, tensors: dict, chain: list) -> None:
        if self.fates[number] != BUILT:
            return
        old = node.outputs[0]
        width = len(self.maps[number])
        tensor = keras.Input(
            batch_shape=(*old.shape[:-1], width),
            dtype=old.dtype,
            name=node.operation.name,
            sparse=node.operation.sparse,
            optional=node.operation.optional,
        )
        chain.append(tensor)
        tensors[id(old)] = tensor

    def _build(self, node, made: list[int], numbers: dict, tensors: dict) -> None:
        """Add a call to the new model."""
        step = self.graph.steps[made[0]]
        read = [numbers[id(t)] for t in node.input_tensors]
        built = [i for i, n in enumerate(read) if self.fates[n] == BUILT]
        if len(built) == len(read):
            if step.kind == "slice":
                self._slices(step, made, tensors)
            else:
                self._call(self.clones.operation(step, made[0]), node, made, tensors)
            return
        left = [tensors[id(node.input_tensors[i])] for i in built]
        if step.kind == "concat":
            result = self.clones.operation(step, made[0])(left) if len(left) > 1 else left[0]
        else:
            result = self._absorb(step, made[0], read, built, left)
        tensors[id(node.outputs[0])] = result

    def _call(self, operation, node, made: list[int], tensors: dict) -> None:
        step_map = self.maps[made[0]]

        def constant(argument: Any) -> Any:
            if not per_channel(argument) or isinstance(operation, keras.Model):
                return argument
            what = f"a constant in {operation.name!r}"
            return np.asarray(taken(ops.convert_to_numpy(argument), step_map, what), "float32")

        args, kwargs = node.arguments.fill_in(tensors)
        args, kwargs = keras.tree.map_structure(
            lambda a: a if isinstance(a, keras.KerasTensor) else constant(a), (args, kwargs)
        )
        try:
            results = keras.tree.flatten(operation(*args, **kwargs))
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(
                f"layer {self.graph.steps[made[0]].name!r} ({type(node.operation).__name__}) "
                f"cannot be called with fewer channels: {lines[0]}"
            ) from error
        tensors |= {id(t): new for t, new in zip(node.outputs, results, strict=True)}

    def _absorb(
        self, step: LayerCall, n: int, read: list[int], built: list[int], left: list
    ) -> Any:
        """Replace a step with constant inputs by a Rescaling of its built input, or by nothing."""
        values = [
            self.constants[i] if self.constants is not None else np.zeros(w)
            for i, w in zip(read, step.in_channels, strict=True)
        ]
        kept = self.maps[n]
        if len(built) > 1:
            left = [self.clones.operation(step, n)(left)]
            constant = [v for i, v in enumerate(values) if i not in built]
            offset = np.sum(constant, axis=0)[kept]
            scale = np.ones(len(kept))
            name = f"{step.layer.name}_constant"
        else:
            at_zero, at_one = (at_one_number(step, values, built[0], x)[kept] for x in (0.0, 1.0))
            offset, scale, name = at_zero, at_one - at_zero, step.layer.name
        if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            raise ValueError(f"the constant that {step.name!r} would absorb is not finite")
        if np.allclose(scale, 1, atol=1e-6) and not offset.any():
            return left[0]
        dtype = getattr(step.layer, "dtype_policy", None)
        return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name=name, dtype=dtype)(
            left[0]
        )

    def _slices(self, step: LayerCall, made: list[int], tensors: dict) -> None:
        node = step.node
        source = tensors[id(node.input_tensors[0])]
        old = self.maps[step.inputs[0]]
        rank = len(step.in_shapes[0])
        for n, output in zip(made, node.outputs, strict=True):
            if self.fates[n] != BUILT:
                continue
            part = self.graph.steps[n]
            assert part.index is not None
            where = [int(np.flatnonzero(old == c)[0]) for c in part.index[self.maps[n]]]
            single = type(step.layer).__name__ == "GetItem"
            before = sliced_key(node, rank)[0] if single else (slice(None),) * rank
            tensors[id(output)] = source[(*before, _as_slice(where, part.name))]


def _class_of(model: keras.Model) -> type[keras.Model]:
    """Return the class of the new model: a user's own, which may have its own train_step.

    Warns:
        UserWarning: If that class cannot be created from layers, because it has its own __init__.
    """
    plain = keras.Sequential if isinstance(model, keras.Sequential) else keras.Model
    cls = type(model)
    if cls.__module__.startswith("keras."):
        return plain
    maker = next(base for base in cls.__mro__ if "__init__" in vars(base))
    if maker.__module__.startswith("keras."):
        return cls
    warnings.warn(
        f"the new model is a plain {plain.__name__}, not {cls.__name__}, which has its own "
        "__init__; methods such as its train_step are not kept",
        stacklevel=2,
    )
    return plain


def _as_slice(where: list[int], name: str) -> slice:
    """Return the slice that takes these channels."""
    steps = set(np.diff(where).tolist()) or {1}
    if len(steps) > 1 or 0 in steps:
        raise ValueError(f"the channels that {name!r} takes would no longer be evenly spaced")
    (step,) = steps
    stop = where[-1] + step
    return slice(where[0], stop if stop >= 0 else None, step)
