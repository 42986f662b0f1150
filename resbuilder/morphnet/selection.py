"""Which channels to remove so that what is left fits a budget, losing as little as possible.

Greedy: the channels with the least importance per resource saved go first. Both change as channels
go (a layer's cost is a product of two widths), so they are computed again each time a twentieth of
the way is done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.rebuild import can_live_without
from resbuilder.morphnet.removal import may_gain_bias
from resbuilder.morphnet.resources import coefficients

RESOURCES = ("flops", "parameters")
_STRIDE = 0.05


class Cost:
    """Cost of the channels that are alive.

    FLOPs are 2 for each multiply-add of convolutions and dense layers; parameters are all weights,
    as ``count_params`` counts them. Among them are the biases that layers without one get when
    channels before them are removed. Such a bias is left out if what was removed emits 0; then the
    network has fewer parameters than counted, never more.

    Args:
        graph: The analysed model.
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
        """Count the weights that are not kernels, for each channel."""
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
        """Cost of the living channels, an int."""
        living = alive.astype(np.int64)
        a_in, a_out = self.inputs @ living, self.outputs @ living
        layers = self.coefficients.cost(a_in, a_out).sum()
        return int(layers + (self.linear + self._new_biases(alive)) @ living + self.constant)

    def savings(self, alive: np.ndarray) -> np.ndarray:
        """What removing each channel alone would save, an int64 array (size,).

        The bias that a layer gets when it loses its first input is not subtracted: all channels
        that it loses share that cost.
        """
        living, c = alive.astype(np.int64), self.coefficients
        a_in, a_out = self.inputs @ living, self.outputs @ living
        saved = self.inputs.T @ (c.b * a_out + c.c_in) + self.outputs.T @ (c.b * a_in + c.c_out)
        both = (self.inputs * self.outputs).T @ c.b
        return saved - both + self.linear + self._new_biases(alive)

    def _new_biases(self, alive: np.ndarray) -> np.ndarray:
        """New bias entries that each channel has, int64 (size,)."""
        lost = self.bias_inputs @ (~alive).astype(np.int64) > 0
        left = self.bias_inputs @ alive.astype(np.int64) > 0
        return self.bias_outputs.T @ (lost & left).astype(np.int64)


def select(
    graph: ChannelGraph,
    cost: Cost,
    budget: int,
    importance: Callable[[np.ndarray], np.ndarray],
    *,
    alive: np.ndarray | None = None,
    at_least: int = 1,
    keep: Collection[str] = (),
) -> np.ndarray:
    """Channels that stay within a budget.

    Args:
        graph: The analysed model.
        cost: What counts.
        budget: The most that it may be.
        importance: Function of the living channels, bool (size,), that returns what the network
            loses with each channel, float (size,).
        alive: Channels to start from; None: all.
        at_least: Distinct channels that every layer keeps. With 0, a residual branch may die.
        keep: Names of layers that keep all their channels.

    Returns:
        Bool array (size,) of ids.

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
            raise ValueError(
                f"the budget of {budget:,} cannot be met: with {at_least} channel(s) left in every "
                f"layer that may be pruned it is {total:,}"
            )
    return state


def removable(graph: ChannelGraph, keep: Collection[str] = ()) -> np.ndarray:
    """Channels that may be removed, a bool array (size,) of ids.

    Raises:
        ValueError: If there are none, or a name in ``keep`` is not that of a layer.
    """
    producers = {step.name: step for step in graph.producers()}
    if unknown := sorted(set(keep) - set(producers)):
        raise ValueError(
            f"keep names {', '.join(unknown)}; the convolutions and dense layers of the model are "
            f"{', '.join(producers)}"
        )
    made = np.zeros(graph.size, bool)
    for step in producers.values():
        made[graph.out_ids(step)] = True
    result = made & ~graph.fixed & ~graph.mixed
    for name in keep:
        result[graph.out_ids(producers[name])] = False
    if not result.any():
        raise ValueError(
            "no channel of this model may be removed: they are outputs, are named in keep, or are "
            "computed with all together (layer normalization, softmax)"
        )
    return result


class _Least:
    """Makes layers keep their last channels, except in branches that may die."""

    def __init__(self, graph: ChannelGraph, at_least: int, candidates: np.ndarray):
        if at_least < 0:
            raise ValueError(f"at_least must not be negative, got {at_least}")
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
        """Whether channel i may go; counts it as gone if so."""
        if any(self.left[n] <= self.limits[n] for n in self.of[i]):
            return False
        for n in self.of[i]:
            self.left[n] -= 1
        return True


def _can_die(graph: ChannelGraph, ids: np.ndarray, candidates: np.ndarray) -> bool:
    """Whether the network works without these channels altogether."""
    if not candidates[ids].all():
        return False
    dead = np.zeros(graph.size, bool)
    dead[ids] = True
    return can_live_without(graph, dead)
