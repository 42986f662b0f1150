"""What becomes of each tensor of a model when channels are removed.

A tensor of the old model is *built* in the new one; or it is *empty*, if all its channels are
removed; or *constant*, if it is computed from removed channels alone. Where a constant meets a
built tensor, by addition or as a gate, it is absorbed: the new model has a Rescaling there, or
nothing. This is how a dead residual branch is bypassed.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from resbuilder.morphnet.channels import Map, maps_without
from resbuilder.morphnet.forward import evaluate
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.layer_call import LayerCall

BUILT, EMPTY, CONSTANT = "built", "empty", "constant"
KEEP_ONE = "keep the best channel of such layers with shrink(..., at_least=1)"


def fates(graph: ChannelGraph, maps: Sequence[Map]) -> list[str]:
    """Return the fate of each tensor: ``"built"``, ``"empty"`` or ``"constant"``.

    Args:
        graph: The model before the change.
        maps: Map of the channels of each tensor, from :func:`.tensor_maps`.

    Raises:
        ValueError: If a constant would reach a layer that cannot absorb it, or an output.
    """
    result: list[str] = []
    for step, channels in zip(graph.steps, maps, strict=True):
        read = {result[i] for i in step.inputs}
        if not len(channels):
            fate = EMPTY
        elif not step.inputs or read == {BUILT}:
            fate = BUILT
        elif BUILT not in read:
            fate = CONSTANT
        elif step.kind == "concat" and CONSTANT not in read:
            fate = BUILT
        elif step.kind == "keep" and _absorbs(step, [result[i] for i in step.inputs]):
            fate = BUILT
        else:
            raise ValueError(
                f"all channels of one input of {step.name!r} are dead, and it is not an addition "
                f"or multiplication that could be bypassed; {KEEP_ONE}"
            )
        result.append(fate)
    for n in graph.outputs:
        if result[n] != BUILT:
            raise ValueError(
                f"a layer that the output {graph.steps[n].name!r} depends on would have no channel "
                f"left; {KEEP_ONE}"
            )
    return result


def can_live_without(graph: ChannelGraph, dead: np.ndarray) -> bool:
    """Return whether a network can be built without the dead channels, bool array (size,)."""
    try:
        fates(graph, maps_without(graph, dead))
    except ValueError:
        return False
    return True


def _absorbs(step: LayerCall, read: list[str]) -> bool:
    """Return whether a step with constant inputs is affine in its one built input.

    An addition absorbs constants with any number of built inputs. Other steps are tested at five
    equally spaced points, where second differences of an affine function are 0.
    """
    if read.count(BUILT) != 1 or EMPTY in read:
        return isinstance(step.layer, keras.layers.Add) and EMPTY not in read
    built = read.index(BUILT)
    if step.in_channels[built] != step.out_channels:
        return False
    ones = [np.full(channels, 0.7) for channels in step.in_channels]
    points = [at_one_number(step, ones, built, value) for value in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    return bool(np.allclose(np.diff(points, n=2, axis=0), 0, atol=1e-5))


def at_one_number(
    step: LayerCall, values: Sequence[np.ndarray], built: int, value: float
) -> np.ndarray:
    """Evaluate a step at one position, with one number in all channels of its built input."""
    read = [np.full_like(v, value) if i == built else v for i, v in enumerate(values)]
    tensors = [
        ops.convert_to_tensor(v.reshape(*(1,) * len(shape), -1), "float32")
        for v, shape in zip(read, step.in_shapes, strict=True)
    ]
    return ops.convert_to_numpy(evaluate(step, tensors)).reshape(-1)[-step.out_channels :]
