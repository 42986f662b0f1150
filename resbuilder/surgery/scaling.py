"""Changes of width: the MorphNet step, and scaling an architecture to a FLOPs budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.common.words import count
from resbuilder.costs import cost
from resbuilder.model import build_model
from resbuilder.morphnet import ChannelGraph, expand
from resbuilder.morphnet.widths import largest_widths
from resbuilder.surgery.moves import remove_blocks


class BreakDown(Exception):
    """Raised when regularization has killed the network; the run ends with the best so far."""


@dataclass(frozen=True)
class MorphStep:
    """Result of one MorphNet step.

    Attributes:
        shrunk: The architecture with only its alive channels, without the removed blocks.
        result: The shrunk architecture expanded to the budget.
        kappa: Factor κ of the expansion.
        removed: Names of the blocks that had no alive channel.
        channels: For each convolution of the result, the old index of each of its channels, or -1
            for new channels, as :func:`resbuilder.surgery.inherit` reads them.
    """

    shrunk: Architecture
    result: Architecture
    kappa: float
    removed: tuple[str, ...]
    channels: dict[str, list[int]]


def least_architecture(architecture: Architecture) -> Architecture:
    """Return the same network with one channel in every layer."""
    return architecture.with_widths(dict.fromkeys(architecture.widths(), 1))


def least_flops(architecture: Architecture) -> int:
    """Return the FLOPs with one channel in every layer, the smallest budget that can be met."""
    return cost(least_architecture(architecture)).flops


def scale_to_budget(architecture: Architecture, flops: int) -> Architecture:
    """Scale all widths by one factor to the largest network within a budget, then fill the rest.

    One factor κ leaves up to a tenth of the budget unused if there are few channels, because it
    widens several layers in one step. The rest goes to single groups of layers, one channel at a
    time, first to the group g that a growing κ would widen next: the one with the smallest
    (w_g + 1/2) / c_g, where c_g is its original and w_g its current width. In the result, no
    group can be widened by one channel within the budget.

    Args:
        architecture: Architecture to scale.
        flops: Budget ζ, FLOPs for one image.

    Raises:
        ValueError: If the budget is not a positive number, or one channel in every layer already
            exceeds it.
    """
    if not 0 < flops < math.inf:
        raise ValueError(f"the budget must be a positive number of FLOPs, got {flops}")
    if (least := least_flops(architecture)) > flops:
        raise ValueError(
            f"a budget of {flops:,.0f} FLOPs is too small: with one channel in every layer this "
            f"network needs {least:,}; raise the budget or start from a smaller network"
        )
    groups = _width_groups(architecture)
    base = [architecture.widths()[group[0]] for group in groups]

    def scaled(widths: Sequence[int]) -> Architecture:
        return architecture.with_widths(
            {name: w for group, w in zip(groups, widths, strict=True) for name in group}
        )

    def fits(widths: Sequence[int]) -> bool:
        return cost(scaled(widths)).flops <= flops

    _, widths = largest_widths(base, fits)
    while True:
        # Sort by the factor κ at which a group would get its next channel.
        order = sorted(range(len(base)), key=lambda g: (widths[g] + 0.5) / base[g])
        wider = ([w + (g == chosen) for g, w in enumerate(widths)] for chosen in order)
        grown = next(filter(fits, wider), None)
        if grown is None:
            return scaled(widths)
        widths = grown


def _width_groups(architecture: Architecture) -> list[list[str]]:
    """Return groups of convolutions that need one width because their outputs are added."""
    groups = [["stem"]]
    trunk = groups[0]
    for index, stage in enumerate(architecture.stages):
        if stage.transition == "projection":
            trunk = [f"s{index}_proj"]
            groups.append(trunk)
        for block in stage.blocks:
            groups.append([f"{block.name}_conv1"])
            trunk.append(f"{block.name}_conv2")
    return groups


def morph(
    architecture: Architecture,
    alive: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    flops: int,
    intensity: float = 1.0,
) -> MorphStep:
    """Shrink an architecture to its alive channels, then expand it to the budget.

    Args:
        architecture: The trained architecture.
        alive: Which channels of each convolution are alive, as returned by
            :meth:`resbuilder.morphnet.MorphNetRegularizer.alive`.
        values: The values R of the channels, as returned by ``group_values``. If the budget has
            no room for all alive channels, those with the largest values stay.
        flops: Budget ζ, FLOPs for one image.
        intensity: I_M from 0 to 1: 1 takes the expanded widths, 0 keeps the old ones.

    Raises:
        BreakDown: If the stem or a stage has no alive channel, or if one channel in every layer
            already exceeds the budget because the network has too many blocks.
    """
    counts = {c.name: int(np.sum(alive[c.name])) for c in architecture.convolutions()}
    removed = tuple(
        b for b, (inner, _) in architecture.block_convolutions().items() if not counts[inner]
    )
    kept = remove_blocks(architecture, removed)
    counts = {c.name: counts[c.name] for c in kept.convolutions()}
    if dead := [name for name, count in counts.items() if count == 0]:
        raise BreakDown(
            f"no channel is alive in {', '.join(dead)}: the regularization is too strong"
        )
    if (least := least_flops(kept)) > flops:
        raise BreakDown(
            f"with {count(len(kept.blocks), 'block')}, one channel in every layer already needs "
            f"{least:,} FLOPs of a budget of {flops:,}"
        )
    result, kappa = _expanded(kept, counts, flops, intensity)
    channels = {
        c.name: _survivors(alive[c.name], values[c.name], c.out_channels)
        for c in result.convolutions()
    }
    return MorphStep(kept.with_widths(counts), result, kappa, removed, channels)


def _survivors(alive: np.ndarray, values: np.ndarray, width: int) -> list[int]:
    survivors = np.flatnonzero(alive)
    if len(survivors) > width:
        survivors = np.sort(survivors[np.argsort(-values[survivors], kind="stable")[:width]])
    return survivors.tolist() + [-1] * (width - len(survivors))


def _expanded(
    architecture: Architecture, widths: Mapping[str, Any], flops: float, intensity: float
) -> tuple[Architecture, float]:
    expansion = expand(
        ChannelGraph(build_model(architecture)),
        widths,
        int(flops),
        intensity=intensity,
    )
    new = {name: expansion.widths[name] for name in architecture.widths()}
    return architecture.with_widths(new), expansion.kappa
