"""Cost of channels: FLOPs, model size, activations and latency as functions of alive channels.

For each convolution and dense layer, let A_in and A_out be the numbers of alive input and output
channels, and R_in and R_out the sums of their regularization values. Then

    cost = b · A_in · A_out + c_in · A_in + c_out · A_out
    term = b · (A_in · R_out + A_out · R_in) + r_in · R_in + r_out · R_out

- FLOPs: b = 2·H_out·W_out·k_h·k_w (H·W of the input for a transposed convolution; 2·positions for
  a dense layer).
- Model size: b = k_h·k_w.
- Activations: c_out = r_out = 1, that is, output channels, as in Google's implementation.

A depthwise convolution has b = 0: its FLOPs are C·A_out, and its term is C·(R_in + R_out). The same
holds for a convolution with groups, each of which can only be removed as a whole; its C has the
number of inputs of one group as a factor. The rules are those of Google's implementation
(github.com/google-research/morph-net, commit d9286a1).

The cost of an architecture, by its description alone, is in :mod:`resbuilder.costs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall

# b, c_in, c_out, r_in and r_out of one layer.
Row: TypeAlias = tuple[int, int, int, int, int]

RESOURCES = ("flops", "model_size", "activation", "latency")


@dataclass(frozen=True)
class Coefficients:
    """The coefficients above, one int64 array (layers,) each."""

    b: np.ndarray
    c_in: np.ndarray
    c_out: np.ndarray
    r_in: np.ndarray
    r_out: np.ndarray

    def cost(self, a_in: Any, a_out: Any) -> Any:
        """Return the cost of each layer, (layers,), from its alive channels A, (layers,)."""
        return self.b * a_in * a_out + self.c_in * a_in + self.c_out * a_out

    def term(self, a_in: Any, a_out: Any, r_in: Any, r_out: Any) -> Any:
        """Return the regularization term of each layer, (layers,)."""
        return self.b * (a_in * r_out + a_out * r_in) + self.r_in * r_in + self.r_out * r_out

    def astype(self, dtype: DTypeLike) -> Coefficients:
        """Return the same coefficients in another type."""
        return Coefficients(*(np.asarray(v, dtype) for v in vars(self).values()))


def coefficients(graph: ChannelGraph, resource: str) -> Coefficients:
    """Return the coefficients of a resource for the layers ``graph.costly()``.

    Args:
        graph: The analyzed model.
        resource: ``"flops"``, ``"model_size"`` (kernel weights), ``"activation"``, or ``"memory"``
            (bytes of inputs, outputs and kernel that a layer moves for one image).

    Raises:
        ValueError: If the resource depends on an unknown image size.
    """
    rows = [_ROWS[resource](step) for step in graph.costly()]
    return Coefficients(*np.array(rows, np.int64).reshape(-1, 5).T)


def _flops(step: LayerCall) -> Row:
    shape = step.in_shapes[0] if step.kind == "conv_transpose" else step.out_shape
    c = 2 * _positions(step, shape) * _kernel(step)
    return (0, 0, c, c, c) if step.kind == "depthwise" else (c, 0, 0, 0, 0)


def _model_size(step: LayerCall) -> Row:
    k = _kernel(step)
    return (0, 0, k, k, k) if step.kind == "depthwise" else (k, 0, 0, 0, 0)


def _activation(step: LayerCall) -> Row:
    return 0, 0, 1, 0, 1


def _memory(step: LayerCall) -> Row:
    size = np.dtype(step.layer.variable_dtype).itemsize
    read = _positions(step, step.in_shapes[0]) * size
    write = _positions(step, step.out_shape) * size
    kernel = _kernel(step) * size
    if step.kind == "depthwise":
        return 0, read, write + kernel, read, write + kernel
    return kernel, read, write, read, write


_ROWS = {
    "flops": _flops,
    "model_size": _model_size,
    "activation": _activation,
    "memory": _memory,
}


def _kernel(step: LayerCall) -> int:
    per_group = step.in_channels[0] // step.groups if step.kind == "depthwise" else 1
    return prod(step.kernel_size) * per_group


def _positions(step: LayerCall, shape: tuple[int | None, ...]) -> int:
    known = [side for side in shape if side is not None]
    if len(known) < len(shape):
        raise ValueError(
            f"layer {step.name!r} has the shape {shape}, and its cost depends on the image size; "
            "build the model with a fixed size"
        )
    return prod(known[:-1])
