"""The largest widths within a budget: MorphNet's expansion, solved exactly in integers.

F(c) is the exact integer cost of the network with c_g channels in width group g. The expansion
takes the largest κ with F(round(κ·c′)) ≤ ζ, where c′ are the alive counts and ζ is the budget.
(Google's implementation takes κ = √(ζ/F(c′)), which undershoots because the cost of the first and
last layers is linear in κ.)

F(round(κ·c′)) is a nondecreasing step function of κ. It can only change where some κ·c′_g passes
n + ½ for an integer n (times ``round_to``). So :func:`largest_widths` bisects with the invariant
"low fits, high does not", and then steps from one such κ to the next, in exact fractions, until
one does not fit. Halves are rounded up, so each such κ already has the wider layer, and the first
that does not fit is the least upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from resbuilder.common.words import count
from resbuilder.morphnet.graph import ChannelGraph, WidthGroup
from resbuilder.morphnet.resources import coefficients

INTEGER_RESOURCES = ("flops", "model_size", "activation")


@dataclass(frozen=True)
class Expansion:
    """Widths that fill a budget.

    Attributes:
        widths: Output channels of each convolution and dense layer, by name.
        kappa: κ, the least upper bound of the factors that fit the budget.
        cost: Exact cost of these widths.
    """

    widths: dict[str, int]
    kappa: float
    cost: int


def expand(
    graph: ChannelGraph,
    widths: Mapping[str, int | np.ndarray],
    budget: int,
    *,
    resource: str = "flops",
    intensity: float = 1.0,
    round_to: int = 1,
) -> Expansion:
    """Scale all widths by one factor, as far as the budget allows.

    With ``intensity`` I, the result is c* = (1 − I)·c + I·e, rounded, where c are the original
    widths and e the expanded ones. If c fits the budget and c* does not (the cost is not linear),
    c* is scaled down until it fits.

    Args:
        graph: The network to expand, after removal of dead blocks.
        widths: c′ for each layer by name: an int, or the bool array (channels,) of alive channels.
            One layer for each width group is enough.
        budget: ζ, in units of the resource.
        resource: ``"flops"``, ``"model_size"`` or ``"activation"``.
        intensity: I_M in [0, 1].
        round_to: Unit of the widths, which become positive multiples of it.

    Returns:
        The :class:`Expansion`.

    Raises:
        ValueError: If one channel (or ``round_to``) in every layer already exceeds the budget,
            layers that share their channels have different widths, or an argument is not one of
            the above.
    """
    if resource not in INTEGER_RESOURCES:
        raise ValueError(f"resource must be one of {INTEGER_RESOURCES}, got {resource!r}")
    if not 0 < budget < math.inf:
        raise ValueError(f"budget must be a positive number of {resource}, got {budget}")
    if not 0 <= intensity <= 1:
        raise ValueError(f"intensity must be from 0 to 1, got {intensity}")
    if round_to < 1 or round_to != int(round_to):
        raise ValueError(f"round_to must be a positive integer, got {round_to}")
    problem = _Problem(graph, resource, round_to)
    least = problem.cost([round_to] * len(problem.free))
    if least > budget:
        raise ValueError(
            f"the budget of {budget} {resource} is too small: with "
            f"{count(round_to, 'channel')} in every layer, it already takes {least}; raise the "
            "budget or use a smaller network"
        )
    alive = problem.group_widths(widths)
    if not any(alive):
        raise ValueError("no layer has an alive channel left to expand")
    kappa, result = problem.largest(alive, budget)
    if intensity < 1:
        before = problem.group_widths(graph.widths())
        share = Fraction(intensity)
        mixed = [(1 - share) * c + share * e for c, e in zip(before, result, strict=True)]
        result = rounded(1, mixed, round_to)
        if problem.cost(result) > budget >= problem.cost(before):
            result = problem.largest(mixed, budget)[1]
    return Expansion(problem.layer_widths(result), float(kappa), problem.cost(result))


def rounded(kappa: Fraction | int, base: Sequence[Fraction | int], unit: int = 1) -> list[int]:
    """Round κ·base to the nearest multiples of a unit (halves up), at least one unit each."""
    steps = (floor(kappa * b / Fraction(unit) + Fraction(1, 2)) for b in base)
    return [unit * max(1, step) for step in steps]


def largest_widths(
    base: Sequence[Fraction | int], fits: Callable[[list[int]], bool], unit: int = 1
) -> tuple[Fraction, list[int]]:
    """Scale widths by one factor as far as a budget allows, exactly.

    Args:
        base: Widths to scale, not all 0.
        fits: Function that says whether widths are within the budget. If widths do not fit, no
            larger ones may fit. One unit in every layer must fit.
        unit: Widths are rounded to multiples of it.

    Returns:
        The least upper bound of the factors κ that fit, and the rounded widths just below it.
    """
    low, high = Fraction(0), Fraction(1)
    while fits(rounded(high, base, unit)):
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(rounded(middle, base, unit)) else (low, middle)
    # Step exactly to each κ at which a width changes, until the widths do not fit.
    while True:
        result = rounded(low, base, unit)
        following = min(
            (Fraction(w) + Fraction(unit, 2)) / Fraction(b)
            for w, b in zip(result, base, strict=True)
            if b
        )
        if not fits(rounded(following, base, unit)):
            return following, result
        low = following


class _Problem:
    """Exact cost as a function of the widths of the groups that may change."""

    def __init__(self, graph: ChannelGraph, resource: str, unit: int):
        groups = graph.width_groups()
        self.graph = graph
        self.unit = unit
        self.free = [g for g in groups if not g.fixed]
        self.coefficients = coefficients(graph, resource).astype(object)
        costly = graph.costly()
        self.inputs = self._linear([graph.in_ids(s) for s in costly])
        self.outputs = self._linear([graph.out_ids(s) for s in costly])

    def _linear(self, tensors: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return M and m so that M·w + m are the channels of tensors for free widths w."""
        counts = self.graph.counts(tensors)
        slopes = [counts[:, g.ids].sum(axis=1) // len(g.ids) for g in self.free]
        ids = np.concatenate([np.zeros(0, int)] + [g.ids for g in self.free])
        constant = counts.sum(axis=1) - counts[:, ids].sum(axis=1)
        return np.array(slopes).reshape(-1, len(tensors)).T.astype(object), constant.astype(object)

    def cost(self, widths: Sequence[Fraction | int]) -> int:
        w = np.array(widths, object)
        a_in, a_out = (m @ w + constant for m, constant in (self.inputs, self.outputs))
        return int(self.coefficients.cost(a_in, a_out).sum())

    def largest(self, base: Sequence[Fraction | int], budget: int) -> tuple[Fraction, list[int]]:
        return largest_widths(base, lambda widths: self.cost(widths) <= budget, self.unit)

    def group_widths(self, widths: Mapping) -> list[Fraction]:
        return [self._group_width(group, widths) for group in self.free]

    def _group_width(self, group: WidthGroup, widths: Mapping) -> Fraction:
        """Return how many ids of a group are given; several channels of a layer may share one."""
        given = {}
        for step in self.graph.producers():
            ids = self.graph.out_ids(step)
            if step.name in widths and step.name in group.layers and np.isin(ids, group.ids).all():
                given[step.name] = Fraction(
                    int(np.sum(widths[step.name])) * len(group.ids), len(ids)
                )
        if not given:
            raise ValueError(f"no width is given for any of the layers {', '.join(group.layers)}")
        if len(set(given.values())) > 1:
            named = {name: int(np.sum(widths[name])) for name in given}
            raise ValueError(f"layers that share their channels need the same width, got {named}")
        return next(iter(given.values()))

    def layer_widths(self, widths: Sequence[int]) -> dict[str, int]:
        producers = self.graph.producers()
        slopes, constant = self._linear([self.graph.out_ids(s) for s in producers])
        total = slopes @ np.array(widths, object) + constant
        return {step.name: int(n) for step, n in zip(producers, total, strict=True)}
