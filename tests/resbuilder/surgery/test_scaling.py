"""Scaling an architecture fills a budget and never exceeds it."""

import pytest

from resbuilder import cost, resnet_architecture
from resbuilder.surgery import least_architecture, scale_to_budget

RESNET = resnet_architecture((16, 16, 3), 10, (8, 16), (2, 2), "small")


@pytest.mark.parametrize("budget", [40_000, 1e6, 5e6, 1e8])
def test_scaling_fills_the_budget_and_never_exceeds_it(budget):
    scaled = scale_to_budget(RESNET, budget)
    assert cost(scaled).flops <= budget
    # The next step of a common factor would add a channel to the first or the second stage, with
    # all layers that share its width. Both together exceed the budget.
    wider = scaled.with_widths({n: w + 1 for n, w in scaled.widths().items()})
    assert cost(wider).flops > budget
    assert len(scaled.blocks) == len(RESNET.blocks)


@pytest.mark.parametrize("budget", [40_000, 4e5, 4e6])
def test_no_channel_fits_into_the_rest_of_the_budget(budget):
    scaled = scale_to_budget(RESNET, budget)
    # Convolutions whose outputs are added need one width.
    trunks = [["stem", "s0b0_conv2", "s0b1_conv2"], ["s1_proj", "s1b0_conv2", "s1b1_conv2"]]
    inner = [[f"s{s}b{b}_conv1"] for s in range(2) for b in range(2)]
    widths = scaled.widths()
    for group in trunks + inner:
        wider = scaled.with_widths({name: widths[name] + 1 for name in group})
        assert cost(wider).flops > budget


def test_an_error_about_a_small_budget_names_the_smallest_possible_one():
    least = cost(least_architecture(RESNET)).flops
    assert scale_to_budget(RESNET, least) == least_architecture(RESNET)
    with pytest.raises(ValueError, match=f"{least:,}"):
        scale_to_budget(RESNET, least - 1)
