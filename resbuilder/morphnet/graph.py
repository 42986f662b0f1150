"""Channel groups of a Keras model, and the layers that produce and read them.

Every channel of every tensor gets an integer id. Convolutions and dense layers create new ids.
Layers that keep channels (batch normalization, activations, pooling, additions) pass ids on, and
ids of tensors that are added are merged. So two channels have the same id exactly if a chain of
such layers connects them: the transitive closure of "keeps channels", which is MorphNet's grouping
(arXiv 1711.06798). It is computed as connected components.

Invariant: channels with the same id are kept or removed together. Ids that are neither fixed nor
mixed can be removed independently of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from resbuilder.morphnet.layer_call import LayerCall
from resbuilder.morphnet.walk import walk


@dataclass(frozen=True, eq=False)
class WidthGroup:
    """Channels produced by the same layers, which therefore share one width.

    Attributes:
        ids: Ids of the channels.
        layers: Names of the convolutions and dense layers that produce them; none for the image.
        fixed: Whether the width cannot be chosen, because it is given from outside (image or
            output of the model) or the tensor is sliced.
    """

    ids: np.ndarray
    layers: tuple[str, ...]
    fixed: bool


class ChannelGraph:
    """Ids of the channels of every tensor of a functional model.

    Args:
        model: A built functional or sequential Keras model, channels last, without shared
            weights. Layers of a nested model are named ``"inner/layer"``.
        cut_flatten: Whether the output of Flatten and Reshape gets new ids, as in Google's
            implementation. By default, position p, channel c of a flattened image (index p·C + c)
            keeps the id of channel c.

    Attributes:
        model: The model.
        steps: Its layer calls in topological order, a list of :class:`LayerCall`.
        ids: One int array (channels,) for the output of each step.
        outputs: Numbers of the steps that produce the model's outputs.
        size: Number of distinct ids, which are 0 … size − 1.
        fixed: Bool array (size,): channels whose number is given from outside, because they belong
            to the image, to an output of the model, or to a map that is broadcast over channels.
        mixed: Bool array (size,): channels that a layer combines, such as a layer normalization.
            Removing one of them, even a zero, would change the others.
        scaled: Bool array (size,): channels that pass batch or group normalizations with γ only.

    Raises:
        ValueError: If a layer's effect on channels is unknown. The message names the layer.

    Example:
        >>> from resbuilder import build_model, minimal_architecture
        >>> graph = ChannelGraph(build_model(minimal_architecture((8, 8, 1), classes=10)))
        >>> graph.widths()
        {'stem': 64, 'logits': 10}
    """

    def __init__(self, model: keras.Model, cut_flatten: bool = False):
        self.model = model
        self.steps, self.outputs = walk(model)
        merger = _Merger()
        labels: list[np.ndarray] = []
        fixed: list[np.ndarray] = []
        mixed: list[np.ndarray] = [np.zeros(0, int)]
        sliced: list[np.ndarray] = [np.zeros(0, int)]
        for step in self.steps:
            inputs = [labels[i] for i in step.inputs]
            out = _output_labels(step, inputs, merger, cut_flatten)
            labels.append(out)
            if step.kind in ("input", "opaque", "reduce"):
                fixed.append(out)
            elif step.kind in ("keep", "mix"):
                fixed += [i for i in inputs if len(i) != len(out)]
            if step.kind == "reduce":
                mixed += inputs
            elif step.mixes or step.kind == "mix":
                mixed.append(out)
            if step.kind in ("slice", "untile"):
                sliced += inputs
        fixed += [labels[i] for i in self.outputs]

        self.size, group = merger.groups()
        self.ids = [group[label] for label in labels]
        self.fixed, self.mixed, self._sliced = (
            np.isin(np.arange(self.size), group[np.concatenate(of)])
            for of in (fixed, mixed, sliced)
        )
        self._number = {step: n for n, step in enumerate(self.steps)}
        self._readers: list[list[LayerCall]] = [[] for _ in self.steps]
        normalized, unscaled = np.zeros((2, self.size), bool)
        for step in self.steps:
            for i in step.inputs:
                self._readers[i].append(step)
            if step.normalizes:
                normalized[self.out_ids(step)] = True
                if step.layer.gamma is None:
                    unscaled[self.out_ids(step)] = True
        self.scaled = normalized & ~unscaled

    def producers(self) -> list[LayerCall]:
        """Return the steps that make new channels: convolutions and dense layers."""
        return [step for step in self.steps if step.makes_channels]

    def costly(self) -> list[LayerCall]:
        """Return the steps with a cost: convolutions (also depthwise) and dense layers."""
        return [step for step in self.steps if step.makes_channels or step.kind == "depthwise"]

    def in_ids(self, step: LayerCall) -> np.ndarray:
        """Return the ids of a step's (first) input, int array (channels,)."""
        return self.ids[step.inputs[0]]

    def out_ids(self, step: LayerCall) -> np.ndarray:
        """Return the ids of a step's output, int array (channels,)."""
        return self.ids[self._number[step]]

    def widths(self) -> dict[str, int]:
        """Return the output channels of each convolution and dense layer, by layer name."""
        return {step.name: step.out_channels for step in self.producers()}

    def width_groups(self) -> tuple[WidthGroup, ...]:
        """Return the ids partitioned by the set of layers that produce them."""
        made_by: list[list[str]] = [[] for _ in range(self.size)]
        for step in self.producers():
            for i in np.unique(self.out_ids(step)):
                made_by[i].append(step.name)
        groups: dict[tuple, list[int]] = {}
        for i, layers in enumerate(made_by):
            fixed = bool(self.fixed[i] or self._sliced[i]) or not layers
            groups.setdefault((tuple(layers), fixed), []).append(i)
        return tuple(WidthGroup(np.array(ids), *key) for key, ids in groups.items())

    def readers(self, step: LayerCall) -> list[LayerCall]:
        """Return the steps that read a step's output, one entry for each time they read it."""
        return self._readers[self._number[step]]

    def is_output(self, step: LayerCall) -> bool:
        """Return whether a step's output is an output of the model."""
        return self._number[step] in self.outputs

    def is_normalized(self, step: LayerCall, scaled: bool = False) -> bool:
        """Return whether each use of a step's output is after a batch or group normalization.

        The normalization need not be the next step: activations and additions may come before it.
        If it is, and the step has no bias, the kernel has no scale: doubling it does not change
        the model's outputs.

        Args:
            step: The step.
            scaled: Whether the first normalization on every path must have a scale γ. Where γ and
                β are 0, nothing reads the channel then. A later γ is not enough: the first
                normalization may have other readers.
        """
        waiting, seen = [step], set()
        while waiting:
            made = waiting.pop()
            if self.is_output(made) or not self.readers(made):
                return False
            for reader in self.readers(made):
                if reader.makes_channels or reader.kind == "reduce":
                    return False
                if reader.normalizes:
                    if scaled and reader.layer.gamma is None:
                        return False
                elif reader not in seen:
                    seen.add(reader)
                    waiting.append(reader)
        return True

    def counts(self, tensors: list[np.ndarray]) -> np.ndarray:
        """Return how often each id occurs in each of the id arrays, int array (tensors, size)."""
        return np.array([np.bincount(t, minlength=self.size) for t in tensors])


class _Merger:
    """Labels of channels, and the pairs of labels that belong together."""

    def __init__(self) -> None:
        self.count = 0
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def new(self, count: int) -> np.ndarray:
        self.count += count
        return np.arange(self.count - count, self.count)

    def merge(self, a: np.ndarray, b: np.ndarray) -> None:
        self.pairs.append((a, b))

    def together(self, rows: np.ndarray) -> np.ndarray:
        """Merge the labels in each row (groups, members); return one label per row, (groups,)."""
        self.merge(np.repeat(rows[:, 0], rows.shape[1]), rows.ravel())
        return rows[:, 0]

    def groups(self) -> tuple[int, np.ndarray]:
        """Return the number of groups, and the group of each label, int array (labels,)."""
        nothing = np.zeros(0, int)
        rows = np.concatenate([nothing, *(a for a, _ in self.pairs)])
        columns = np.concatenate([nothing, *(b for _, b in self.pairs)])
        edges = coo_array((np.ones(len(rows)), (rows, columns)), (self.count, self.count))
        return connected_components(edges, directed=False)


def _output_labels(
    step: LayerCall, inputs: list[np.ndarray], merger: _Merger, cut_flatten: bool
) -> np.ndarray:
    """Return the labels of a step's output channels, int array (channels,)."""
    channels = step.out_channels
    if step.kind == "concat":
        return np.concatenate(inputs)
    if step.kind == "depthwise":
        # The inputs of a group of a convolution, and its outputs, can only be removed together.
        groups = merger.together(inputs[0].reshape(step.groups, -1))
        return np.repeat(groups, channels // step.groups)
    if step.kind == "tile" and not cut_flatten:
        return np.tile(inputs[0], channels // len(inputs[0]))
    if step.kind == "untile" and not cut_flatten:
        return merger.together(inputs[0].reshape(-1, channels).T)
    if step.kind == "slice":
        return inputs[0][step.index]
    if step.kind in ("keep", "mix"):
        if step.normalizes and step.kind == "keep" and step.groups > 1:
            merger.together(inputs[0].reshape(step.groups, -1))
        # A tensor with one channel is broadcast over the others, so it is not merged with them.
        same = [labels for labels in inputs if len(labels) == channels]
        for other in same[1:]:
            merger.merge(same[0], other)
        return same[0]
    return merger.new(channels)
