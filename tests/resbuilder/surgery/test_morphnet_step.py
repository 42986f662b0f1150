"""The MorphNet step on architectures: widths, removed blocks, surviving channels, break-down."""

import numpy as np
import pytest

from resbuilder import cost, minimal_architecture, resnet_architecture
from resbuilder.surgery import BreakDown, morph

RESNET = resnet_architecture((16, 16, 3), 10, (8, 16), (2, 2), "small")


def all_alive(architecture, **dead):
    alive = {c.name: np.ones(c.out_channels, bool) for c in architecture.convolutions()}
    for name, channels in dead.items():
        alive[name][channels] = False
    return alive


def ones(architecture):
    return {c.name: np.ones(c.out_channels) for c in architecture.convolutions()}


def test_shrunk_widths_are_the_alive_counts_and_expansion_keeps_their_ratio():
    alive = all_alive(RESNET, s0b0_conv1=slice(2, None))
    step = morph(RESNET, alive, ones(RESNET), 10 * cost(RESNET).flops)
    assert step.shrunk.widths() == RESNET.widths() | {"s0b0_conv1": 2}
    assert step.kappa > 1
    for name, width in step.result.widths().items():
        assert width == pytest.approx(step.kappa * step.shrunk.widths()[name], abs=0.51)


def test_a_block_without_alive_channels_is_removed():
    alive = all_alive(RESNET, s0b1_conv1=slice(None))
    step = morph(RESNET, alive, ones(RESNET), 1e6)
    assert step.removed == ("s0b1",)
    assert [b.name for b in step.result.blocks] == ["s0b0", "s1b0", "s1b1"]


def test_a_stage_without_alive_channels_raises_break_down():
    dead = {name: slice(None) for name in ("s1_proj", "s1b0_conv2", "s1b1_conv2")}
    with pytest.raises(BreakDown, match="s1_proj"):
        morph(RESNET, all_alive(RESNET, **dead), ones(RESNET), 1e6)


def test_surviving_channels_are_given_by_index_and_new_ones_by_minus_one():
    start = minimal_architecture((8, 8, 1), 3, 4)
    alive = {"stem": np.array([True, False, True, True])}
    wider = morph(start, alive, ones(start), cost(start).flops * 2)
    survivors = wider.channels["stem"]
    assert survivors[:3] == [0, 2, 3] and set(survivors[3:]) == {-1}
    assert len(survivors) == wider.result.stem.width
    # If the budget has no room for all of them, those with the largest values stay, in order.
    values = {"stem": np.array([0.1, 9.0, 0.3, 0.2])}
    narrow = morph(start, alive, values, cost(start.with_widths({"stem": 2})).flops)
    assert narrow.channels["stem"] == [2, 3]


def test_intensity_mixes_old_and_new_widths():
    alive = all_alive(RESNET, s0b0_conv1=slice(4, None))
    budget = cost(RESNET).flops
    none = morph(RESNET, alive, ones(RESNET), budget, intensity=0.0).result
    assert none == RESNET
    half = morph(RESNET, alive, ones(RESNET), budget, intensity=0.5)
    full = morph(RESNET, alive, ones(RESNET), budget, intensity=1.0)
    widths = [net.result.blocks[0].inner for net in (full, half)] + [8]
    assert widths == sorted(set(widths))  # between both, and equal to neither
    assert cost(half.result).flops <= budget
