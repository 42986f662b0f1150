"""Selecting channels to remove so that the rest fits a budget, with as little loss as possible.

The selection is greedy: channels i with the least importance per cost, I_i / s_i, go first, where
s_i is what removing i saves. With A_in = Σ n_in,i and A_out = Σ n_out,i over the alive channels,
which occur n_in,i and n_out,i times in the inputs and outputs of a layer,

    cost = Σ_layers b · A_in · A_out + c_in · A_in + c_out · A_out
    s_i = Σ_layers n_in,i · (b · A_out + c_in) + n_out,i · (b · A_in + c_out) − b · n_in,i · n_out,i

Both I and s change as channels are removed, because a layer's cost is a product of two widths. So
they are computed again each time a twentieth of the remaining excess over the budget is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from resbuilder.common.words import count
from resbuilder.morphnet.fates import can_live_without
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.removal import check_at_least, may_gain_bias
from resbuilder.morphnet.resources import coefficients

RESOURCES = ("flops", "parameters")
_STRIDE = 0.05


class ChannelCost:
    """Cost of the alive channels.

    FLOPs are 2 for each multiply-add of convolutions and dense layers. Parameters are all weights,
    as in ``count_params``, including biases that layers without one get when channels before them
    are removed. Such a bias is omitted if the removed channels emit 0, so the network never has
    more parameters than counted here.

    Args:
        graph: The analyzed model.
        resource: ``"flops"`` or ``"parameters"``.
    """

    def __init__(self, graph: ChannelGraph, resource: str):
        costly = graph.costly()
        self.inputs = graph.counts([graph.in_ids(s) for s in costly])
        self.outputs = graph.counts([graph.out_ids(s) for s in costly])
        self.linear, self.constant = np.zeros(graph.size, np.int64), 0
        kind = "flops" if resource == "flops" else "model_size"
        self.coefficients = coefficients(graph, kind)
        gaining = []
        if resource == "parameters":
            self._count_others(graph)
            gaining = [step for step in graph.steps if may_gain_bias(graph, step)]
        shape = len(gaining), graph.size
        self.bias_inputs = graph.counts([graph.in_ids(s) for s in gaining]).reshape(shape)
        self.bias_outputs = graph.counts([graph.out_ids(s) for s in gaining]).reshape(shape)

    def _count_others(self, graph: ChannelGraph) -> None:
        """Count the weights other than kernels, by channel."""
        kernels = {(step.layer, step.kernel) for step in graph.steps}
        last = {step.layer: n for n, step in enumerate(graph.steps)}
        for layer, n in last.items():
            channels = graph.steps[n].out_channels
            for weight in getattr(layer, "weights", ()):
                if (layer, weight.name) in kernels:
                    continue
                size = int(np.prod(weight.shape))
                if len(weight.shape) and weight.shape[-1] == channels:
                    np.add.at(self.linear, graph.ids[n], size // channels)
                else:
                    self.constant += size

    def total(self, alive: np.ndarray) -> int:
        """Return the cost of the alive channels."""
        living = alive.astype(np.int64)
        a_in, a_out = self.inputs @ living, self.outputs @ living
        layers = self.coefficients.cost(a_in, a_out).sum()
        return int(layers + (self.linear + self._new_biases(alive)) @ living + self.constant)

    def savings(self, alive: np.ndarray) -> np.ndarray:
        """Return what removing each channel alone would save, an int64 array (size,).

        The bias that a layer gets when it loses its first input is not subtracted, because all
        channels that the layer loses share that cost.
        """
        living, c = alive.astype(np.int64), self.coefficients
        a_in, a_out = self.inputs @ living, self.outputs @ living
        saved = self.inputs.T @ (c.b * a_out + c.c_in) + self.outputs.T @ (c.b * a_in + c.c_out)
        both = (self.inputs * self.outputs).T @ c.b
        return saved - both + self.linear + self._new_biases(alive)

    def _new_biases(self, alive: np.ndarray) -> np.ndarray:
        """Return the number of new bias entries of each channel, int64 (size,)."""
        lost = self.bias_inputs @ (~alive).astype(np.int64) > 0
        left = self.bias_inputs @ alive.astype(np.int64) > 0
        return self.bias_outputs.T @ (lost & left).astype(np.int64)


def select(
    graph: ChannelGraph,
    cost: ChannelCost,
    budget: int,
    importance: Callable[[np.ndarray], np.ndarray],
    *,
    alive: np.ndarray | None = None,
    at_least: int = 1,
    keep: Collection[str] = (),
) -> np.ndarray:
    """Select channels to keep so that their cost is within a budget.

    Args:
        graph: The analyzed model.
        cost: Cost of channels.
        budget: Upper limit of the cost.
        importance: Function of the alive channels, bool (size,), that returns the importance of
            each channel, float (size,).
        alive: Channels to start from; None for all.
        at_least: Number of distinct channels that every layer keeps. With 0, a residual branch
            may lose all its channels.
        keep: Names of layers that keep all their channels.

    Returns:
        Bool array (size,) of the channels that stay.

    Raises:
        ValueError: If the budget cannot be met, or a name is unknown.
    """
    state = np.ones(graph.size, bool) if alive is None else alive.copy()
    candidates = removable(graph, keep)
    least = _Least(graph, at_least, candidates)
    while (total := cost.total(state)) > budget:
        savings = cost.savings(state)
        possible = np.flatnonzero(candidates & state & (savings > 0))
        with np.errstate(divide="ignore"):
            rank = importance(state)[possible] / savings[possible]
        goal, saved = max(1, int(_STRIDE * (total - budget))), 0
        least.begin(state)
        for i in possible[np.argsort(rank, kind="stable")]:
            if saved >= goal:
                break
            if least.allows(i):
                state[i] = False
                saved += int(savings[i])
        if not saved:
            left = f"{count(at_least, 'channel')} left in every layer that may be pruned"
            if not at_least:
                left = "one channel left in every layer that cannot be removed"
            raise ValueError(
                f"the budget of {budget:,} cannot be met: with {left}, the network still needs "
                f"{total:,}"
            )
    return state


def removable(graph: ChannelGraph, keep: Collection[str] = ()) -> np.ndarray:
    """Return the channels that may be removed, a bool array (size,) of ids.

    Raises:
        ValueError: If there are none, or ``keep`` names an unknown layer.
    """
    producers = {step.name: step for step in graph.producers()}
    if isinstance(keep, str) or not isinstance(keep, Collection):
        raise ValueError(f"keep must be a list of names of layers, got {keep!r}")
    if unknown := sorted(set(keep) - set(producers)):
        raise ValueError(
            f"keep names unknown layers {', '.join(unknown)}; the convolutions and dense layers of "
            f"the model are {', '.join(producers)}"
        )
    made = np.zeros(graph.size, bool)
    for step in producers.values():
        made[graph.out_ids(step)] = True
    result = made & ~graph.fixed & ~graph.mixed
    for name in keep:
        result[graph.out_ids(producers[name])] = False
    if not result.any():
        raise ValueError(
            "no channel of this model may be removed: all are outputs, named in keep, or combined "
            "with others (layer normalization, softmax)"
        )
    return result


class _Least:
    """Makes every layer keep ``at_least`` channels, or one outside of removable branches."""

    def __init__(self, graph: ChannelGraph, at_least: int, candidates: np.ndarray):
        check_at_least(at_least)
        self.layers = [np.unique(graph.out_ids(s)) for s in graph.producers()]
        self.limits = [
            min(at_least, len(ids)) if at_least or _can_die(graph, ids, candidates) else 1
            for ids in self.layers
        ]
        self.of: list[list[int]] = [[] for _ in range(graph.size)]
        for n, ids in enumerate(self.layers):
            for i in ids:
                self.of[i].append(n)
        self.left: list[int] = []

    def begin(self, alive: np.ndarray) -> None:
        self.left = [int(alive[ids].sum()) for ids in self.layers]

    def allows(self, i: int) -> bool:
        """Return whether channel i may be removed; if so, count it as removed."""
        if any(self.left[n] <= self.limits[n] for n in self.of[i]):
            return False
        for n in self.of[i]:
            self.left[n] -= 1
        return True


def _can_die(graph: ChannelGraph, ids: np.ndarray, candidates: np.ndarray) -> bool:
    """Return whether the network can be built without all of these channels."""
    if not candidates[ids].all():
        return False
    dead = np.zeros(graph.size, bool)
    dead[ids] = True
    return can_live_without(graph, dead)
