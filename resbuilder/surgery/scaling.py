"""Scaling the widths of an architecture to a FLOPs budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resbuilder.architecture import Architecture
from resbuilder.costs import cost
from resbuilder.morphnet.widths import largest_widths


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
    groups: list[list[str]] = []
    for prefix, trunk in architecture.trunks.items():
        added = [f"{prefix}stem"]
        groups.append(added)
        for index, stage in enumerate(trunk.stages):
            if stage.projects:
                added = [f"{prefix}s{index}_proj"]
                groups.append(added)
            for block in stage.blocks:
                groups.append([f"{prefix}{block.name}_conv1"])
                added.append(f"{prefix}{block.name}_conv2")
    return groups
