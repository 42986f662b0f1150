"""MorphNet's regularization term, cost and alive channels for Keras models.

References:
    A. Gordon et al., MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
    Networks, CVPR 2018, arXiv:1711.06798. The rules follow the authors' implementation,
    github.com/google-research/morph-net.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall
from resbuilder.morphnet.resources import RESOURCES, Coefficients, coefficients

#: The two algorithms of Google's implementation.
ALGORITHMS = ("group_lasso", "gamma")


class NativeRegularizer:
    """MorphNet's regularizer, computed with ``keras.ops``; see :func:`.MorphNetRegularizer`.

    Attributes:
        graph: The :class:`ChannelGraph` of the model.
    """

    def __init__(
        self,
        model: keras.Model,
        algorithm: str | None = None,
        resource: str = "flops",
        threshold: float = 1e-2,
        strict: bool = False,
        peak_flops: float | None = None,
        bandwidth: float | None = None,
    ):
        if algorithm is None:
            algorithm = "group_lasso" if strict else "auto"
        if algorithm not in (*ALGORITHMS, "auto"):
            raise ValueError(f"algorithm must be one of {(*ALGORITHMS, 'auto')}, got {algorithm!r}")
        if strict and algorithm == "auto":
            raise ValueError(
                "algorithm='auto' is not available with strict=True or engine='google', which "
                f"reproduce Google's implementation; use one of {ALGORITHMS}"
            )
        if resource not in RESOURCES:
            raise ValueError(f"resource must be one of {RESOURCES}, got {resource!r}")
        if not threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {threshold}")
        rates = (peak_flops, bandwidth)
        if resource == "latency" and not all(rate is not None and rate > 0 for rate in rates):
            raise ValueError(
                "resource='latency' needs peak_flops (FLOP/s) and bandwidth (bytes/s), both "
                f"positive, got {peak_flops} and {bandwidth}"
            )
        if resource != "latency" and rates != (None, None):
            raise ValueError(
                "peak_flops and bandwidth are only for resource='latency'; leave them out with "
                f"{resource!r}"
            )
        self.graph = ChannelGraph(model, cut_flatten=strict)
        self.algorithm = algorithm
        self.resource = resource
        self.threshold = threshold
        self.strict = strict
        kept = np.zeros(self.graph.size, bool) if strict else self.graph.fixed | self.graph.mixed
        self._sources = [
            source
            for source in _sources(self.graph, algorithm)
            if not kept[self.graph.out_ids(source.step)].all()
        ]
        self._members = _members(self.graph, self._sources, kept)
        costly = self.graph.costly()
        self._inputs = self.graph.counts([self.graph.in_ids(s) for s in costly])
        self._outputs = self.graph.counts([self.graph.out_ids(s) for s in costly])
        if resource == "latency":
            self._parts = [
                (coefficients(self.graph, "flops"), peak_flops),
                (coefficients(self.graph, "memory"), bandwidth),
            ]
        else:
            self._parts = [(coefficients(self.graph, resource), 1)]

    def regularization_term(self) -> Any:
        """Return the term, a float32 scalar tensor in units of the resource times r."""
        values, alive = self._groups()
        inputs, outputs = (m.astype("float32") for m in (self._inputs, self._outputs))
        a_in, a_out = ops.matmul(inputs, alive), ops.matmul(outputs, alive)
        r_in, r_out = ops.matmul(inputs, values), ops.matmul(outputs, values)
        parts = self._float_parts()
        term = parts[0].term(a_in, a_out, r_in, r_out)
        if len(parts) == 2:
            computing, moving = (part.cost(a_in, a_out) for part in parts)
            term = ops.where(moving > computing, parts[1].term(a_in, a_out, r_in, r_out), term)
        return ops.sum(term)

    def cost(self) -> Any:
        """Return the cost of the alive channels, a float32 scalar tensor."""
        _, alive = self._groups()
        a_in = ops.matmul(self._inputs.astype("float32"), alive)
        a_out = ops.matmul(self._outputs.astype("float32"), alive)
        costs = [part.cost(a_in, a_out) for part in self._float_parts()]
        return ops.sum(costs[0] if len(costs) == 1 else ops.maximum(*costs))

    def exact_cost(self) -> int | float:
        """Return the exact cost of the alive channels, an int (latency: a float, in seconds)."""
        alive = self._alive_ids().astype(np.int64)
        a_in, a_out = self._inputs @ alive, self._outputs @ alive
        if self.resource == "latency":
            costs = [part.cost(a_in, a_out) / rate for part, rate in self._parts]
            return float(np.maximum(*costs).sum())
        return int(self._parts[0][0].cost(a_in, a_out).sum())

    def alive(self) -> dict[str, np.ndarray]:
        """Return which output channels of each layer are alive, bool arrays (channels,) by name.

        The layers are convolutions and dense layers, except those whose channels must all stay
        (the logits, inputs of a layer normalization). With ``strict`` they are all convolutions
        and no dense layers.
        """
        alive = self._alive_ids()
        kept = self.graph.fixed | self.graph.mixed
        return {
            step.name: alive[self.graph.out_ids(step)]
            for step in self.graph.producers()
            if (step.kind != "dense" if self.strict else not kept[self.graph.out_ids(step)].all())
        }

    def group_values(self) -> dict[str, np.ndarray]:
        """Return R of the output channels of each layer, float arrays (channels,) by name.

        The layers are all convolutions and dense layers. Channels without a source (by default
        the logits) have R = 0.
        """
        values = ops.convert_to_numpy(self._groups()[0])
        return {s.name: values[self.graph.out_ids(s)] for s in self.graph.producers()}

    def _alive_ids(self) -> np.ndarray:
        return ops.convert_to_numpy(self._groups()[1]) > 0.5

    def _groups(self) -> tuple[Any, Any]:
        """Return R and alive (1.0 or 0.0) of every channel id, two float32 tensors (size,)."""
        # The last entry represents channels without a source: R = 0, always alive.
        r = [self._source_value(source) for source in self._sources]
        values = ops.concatenate([*r, ops.zeros((1,), "float32")])
        alive = ops.concatenate(
            [ops.cast(ops.stop_gradient(v) > self.threshold, "float32") for v in r]
            + [ops.ones((1,), "float32")]
        )
        return (
            ops.max(ops.take(values, self._members, axis=0), axis=1),
            ops.max(ops.take(alive, self._members, axis=0), axis=1),
        )

    def _source_value(self, source: _Source) -> Any:
        """Return the values r of a source, a float32 tensor (channels,)."""
        # Read the layer at every call: in a JAX training step, its variables have the values of
        # the step, not those at construction.
        step = source.step
        if source.value == "gamma":
            return ops.abs(ops.cast(step.layer.gamma, "float32"))
        kernel = ops.cast(getattr(step.layer, str(step.kernel)), "float32")
        output = kernel.ndim - (2 if step.kind == "conv_transpose" else 1)
        axes = [a for a in range(kernel.ndim) if a != output]
        mean = ops.mean(ops.square(kernel), axis=axes)
        if self.strict:
            return ops.sqrt(mean)
        positive = mean > 0
        r = ops.where(positive, ops.sqrt(ops.where(positive, mean, 1.0)), 0.0)
        if source.scaled_by is None:
            return r
        weights = np.prod([kernel.shape[a] for a in axes])
        variance = ops.cast(source.scaled_by.moving_variance, "float32")
        deviation = ops.sqrt(ops.stop_gradient(variance) + source.scaled_by.epsilon)
        return r * float(np.sqrt(weights)) / deviation

    def _float_parts(self) -> list[Coefficients]:
        """Return coefficients in units of the resource (latency: seconds), float32 tensors."""
        return [
            Coefficients(*(ops.convert_to_tensor(v / rate, "float32") for v in vars(part).values()))
            for part, rate in self._parts
        ]


@dataclass(frozen=True, eq=False)
class _Source:
    """A step whose weights determine the values r of its channels.

    Attributes:
        step: The step.
        value: ``"gamma"``: r = |γ|; ``"norm"``: r = √mean(w²).
        scaled_by: A batch normalization without γ that the step's outputs pass through. Then
            r = ‖w‖/√(σ²+ε), their standard deviation after it if the inputs have variance 1.
    """

    step: LayerCall
    value: str
    scaled_by: keras.layers.BatchNormalization | None = None


def _sources(graph: ChannelGraph, algorithm: str) -> list[_Source]:
    if algorithm == "group_lasso":
        return [_Source(step, "norm") for step in graph.producers()]
    if algorithm == "gamma":
        return [_Source(step, "gamma") for step in _normalizations(graph)]
    return _automatic(graph)


def _automatic(graph: ChannelGraph) -> list[_Source]:
    """Return all normalizations with γ, and all kernels not always followed by one with γ."""
    sources = [
        _Source(step, "gamma")
        for step in graph.steps
        if step.normalizes and step.layer.gamma is not None and step.kind == "keep"
    ]
    for step in graph.producers():
        if graph.is_normalized(step, scaled=True):
            continue
        if graph.is_normalized(step):
            behind = [reader.layer for reader in graph.readers(step)]
            if len(behind) == 1 and isinstance(behind[0], keras.layers.BatchNormalization):
                sources.append(_Source(step, "norm", behind[0]))
                continue
        sources.append(_Source(step, "norm"))
    return sources


def _normalizations(graph: ChannelGraph) -> list[LayerCall]:
    sources = [s for s in graph.steps if s.normalizes]
    if not sources:
        raise ValueError(
            "algorithm='gamma' needs BatchNormalization layers, but the model has none; "
            "use algorithm='group_lasso' or 'auto'"
        )
    for step in sources:
        if step.layer.gamma is None:
            raise ValueError(
                f"algorithm='gamma' needs the scale of {step.name!r}; build it with scale=True, or "
                "use algorithm='auto', which takes the kernel's norm instead"
            )
    return sources


def _members(graph: ChannelGraph, sources: list[_Source], kept: np.ndarray) -> np.ndarray:
    """Return the entries of the concatenated sources for each id, int array (size, most sources).

    R and alive of an id are the maximum over its entries, so rows are padded by repeating an
    entry. Ids without a source, and ids that must stay, point to the entry after the last.
    """
    ids = np.concatenate([np.zeros(0, int)] + [graph.out_ids(s.step) for s in sources])
    members: list[list[int]] = [[] for _ in range(graph.size)]
    for entry, i in enumerate(ids.tolist()):
        if not kept[i]:
            members[i].append(entry)
    rows = [m or [len(ids)] for m in members]
    most = max(map(len, rows))
    return np.array([m + m[:1] * (most - len(m)) for m in rows], np.int32)
