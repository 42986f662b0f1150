"""The expansion is the largest integer solution."""

from fractions import Fraction
from math import floor

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer, expand, expand_model
from resbuilder.morphnet.selection import ChannelCost

NAMES = ("a", "b", "c")


def chain():
    """Return convolutions a (3×3), b (1×1) and c (3×3) of width 8 on 4×4 pixels, 5 classes."""
    x = inputs = keras.Input((4, 4, 3))
    for name, size in zip(NAMES, (3, 1, 3), strict=True):
        x = layers.Conv2D(8, size, padding="same", name=name)(x)
    return keras.Model(inputs, layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x)))


GRAPH = ChannelGraph(chain())


def chain_cost(a, b, c):
    return 2 * 16 * (9 * 3 * a + a * b + 9 * b * c) + 2 * 5 * c


def rounded(kappa, base, unit=1):
    return [unit * max(1, floor(kappa * b / Fraction(unit) + Fraction(1, 2))) for b in base]


def largest(base, budget, unit=1):
    """Return the last of all roundings of κ·base that fits, by trying each of them."""
    best = rounded(0, base, unit)
    steps = {Fraction(unit * (2 * k - 1), 2) / b for b in base if b for k in range(1, 400)}
    for kappa in sorted(steps):
        widths = rounded(kappa, base, unit)
        if chain_cost(*widths) > budget:
            return best
        best = widths
    raise AssertionError("budget too large for this test")


@given(
    base=st.lists(st.integers(0, 8), min_size=3, max_size=3).filter(any),
    budget=st.integers(chain_cost(1, 1, 1), 200_000),
)
def test_largest_integer_solution(base, budget):
    result = expand(GRAPH, dict(zip(NAMES, base, strict=True)), budget)
    widths = [result.widths[name] for name in NAMES]
    assert widths == largest(base, budget)
    assert result.cost == chain_cost(*widths) <= budget
    assert result.widths["logits"] == 5
    kappa = Fraction(result.kappa).limit_denominator(1000)
    assert chain_cost(*rounded(kappa, base)) > budget


@given(
    base=st.lists(st.integers(1, 8), min_size=3, max_size=3), budget=st.integers(30_000, 500_000)
)
def test_widths_are_rounded_to_multiples_of_eight(base, budget):
    result = expand(GRAPH, dict(zip(NAMES, base, strict=True)), budget, round_to=8)
    assert [result.widths[name] for name in NAMES] == largest(base, budget, 8)


@given(
    base=st.lists(st.integers(1, 8), min_size=3, max_size=3),
    intensity=st.floats(0, 1),
    budget=st.integers(10_000, 200_000),
)
def test_intensity_mixes_old_and_new_widths_within_the_budget(base, intensity, budget):
    alive = dict(zip(NAMES, base, strict=True))
    full = [expand(GRAPH, alive, budget).widths[name] for name in NAMES]
    result = expand(GRAPH, alive, budget, intensity=intensity)
    share = Fraction(intensity)
    mixed = [(1 - share) * 8 + share * e for e in full]
    widths = [result.widths[name] for name in NAMES]
    if chain_cost(8, 8, 8) <= budget:
        assert result.cost <= budget
        assert widths == rounded(1, mixed) or chain_cost(*rounded(1, mixed)) > budget
    else:
        assert widths == rounded(1, mixed)


@pytest.mark.slow_on("jax")
def test_cost_equals_that_of_the_widened_model(network):
    graph = ChannelGraph(network)
    free = {
        s.name: s.out_shape[-1]
        for s in graph.producers()
        if not graph.fixed[graph.out_ids(s)].all()
    }
    before = MorphNetRegularizer(network, threshold=0).exact_cost()
    result = expand(graph, free, 4 * before)
    larger = MorphNetRegularizer(expand_model(network, result.widths), threshold=0)
    assert before < larger.exact_cost() == result.cost <= 4 * before


def test_alive_channels_can_be_given_as_bool_arrays():
    alive = {"a": np.arange(8) < 3, "b": np.arange(8) < 5, "c": np.ones(8, bool)}
    counts = {"a": 3, "b": 5, "c": 8}
    assert expand(GRAPH, alive, 10**5) == expand(GRAPH, counts, 10**5)


@pytest.mark.parametrize(
    "layer",
    [layers.GroupNormalization(4), layers.Conv2D(8, 3, groups=2, padding="same", name="grouped")],
    ids=["normalization", "convolution"],
)
def test_the_own_widths_fill_the_own_cost_also_if_groups_tie_channels_together(layer):
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    x = layers.Conv2D(8, 3, padding="same", name="second")(layer(x))
    x = layers.GlobalAveragePooling2D()(x)
    graph = ChannelGraph(keras.Model(inputs, layers.Dense(5, name="logits")(x)))
    own = ChannelCost(graph, "flops").total(np.ones(graph.size, bool))
    for intensity in (1, 0.5, 0):
        found = expand(graph, graph.widths(), own, intensity=intensity)
        assert (found.cost, found.widths) == (own, graph.widths())


def test_budgets_beyond_64_bits_are_exact():
    assert expand(GRAPH, dict.fromkeys(NAMES, 8), 10**30).cost <= 10**30


ONES = dict.fromkeys(NAMES, 1)
BAD = {
    f"with 1 channel in every layer, it already takes {chain_cost(1, 1, 1)}": (
        ONES,
        {"budget": chain_cost(1, 1, 1) - 1},
    ),
    "budget must be a positive number of flops, got inf": (ONES, {"budget": float("inf")}),
    "budget must be a positive number of flops, got nan": (ONES, {"budget": float("nan")}),
    "resource.*latency": (ONES, {"budget": 10**6, "resource": "latency"}),
    "intensity.*1.5": (ONES, {"budget": 10**6, "intensity": 1.5}),
    "round_to.*0": (ONES, {"budget": 10**6, "round_to": 0}),
    "no width is given.*c": ({"a": 1, "b": 1}, {"budget": 10**6}),
    "no layer has an alive": (dict.fromkeys(NAMES, 0), {"budget": 10**6}),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_argument_is_named_in_the_error(message):
    widths, options = BAD[message]
    with pytest.raises(ValueError, match=message):
        expand(GRAPH, widths, **options)
