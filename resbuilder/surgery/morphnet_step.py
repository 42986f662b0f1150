"""The MorphNet step: shrink an architecture to its alive channels, then expand it to the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.common.words import count
from resbuilder.model import build_model
from resbuilder.morphnet import ChannelGraph, expand
from resbuilder.surgery.blocks import remove_blocks
from resbuilder.surgery.scaling import least_flops


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
            :meth:`resbuilder.morphnet.native.NativeRegularizer.alive`.
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
