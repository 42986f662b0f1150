"""The candidates of a race: how each begins, its stages and its depth; each fills half of ζ.

At a fixed number of FLOPs, the resolution at which a network begins decides how wide it can be:
half the side allows twice the channels. What is best depends on the images, the budget and the
epochs, so a race tries all of these:

===== ======================================================
name  begins with
===== ======================================================
s1    a 3×3 convolution at full resolution
s1p   the same, then 3×3/2 max pooling
s1p+  the same, then a stage without blocks, so half the side
s2p   a 3×3/2 convolution, then 3×3/2 max pooling
s2p+  the same, then a stage without blocks
===== ======================================================

The digits after the name are the numbers of blocks in the stages. Widths double from stage to
stage, and the skip connection between two stages averages 2×2 pixels. Deep networks, with two or
more blocks per stage, begin only with s1, s1p and s1p+: they are narrow and learn slowly. With two
blocks per stage, s1 is ResNet-18 with a stem for small images, apart from the averages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from resbuilder.architecture import Architecture, Stem, resnet_architecture
from resbuilder.race.schedule import TRUNKS
from resbuilder.surgery import least_flops, scale_to_budget


@dataclass(frozen=True)
class Candidate:
    """A candidate.

    Attributes:
        label: How it begins, and the number of blocks in each stage, such as ``s1p+ 0111``.
        depth: Blocks in each stage that has blocks.
        architecture: The architecture, scaled to half of ζ.
    """

    label: str
    depth: int
    architecture: Architecture


@dataclass(frozen=True)
class _Beginning:
    """How a network begins: stride of the stem, pooling, number of stages without blocks."""

    stride: int
    pool: bool
    empty: int = 0


_BEGINNINGS = {
    "s1": _Beginning(1, False),
    "s1p": _Beginning(1, True),
    "s1p+": _Beginning(1, True, 1),
    "s2p": _Beginning(2, True),
    "s2p+": _Beginning(2, True, 1),
}
_FINE = ("s1", "s1p", "s1p+")
# The most stages with blocks, for one and for more blocks per stage; the least side of a stage.
_SHALLOW_STAGES, _DEEP_STAGES, _LEAST_SIDE = 3, 4, 2
# Networks with a narrower stem were never near the best.
_LEAST_WIDTH, _FEWEST = 8, 4


def candidates(
    input_shape: tuple[int, int, int],
    classes: int,
    flops: float,
    depths: Iterable[int] = (1, 2),
    block_order: str = "conv_bn_relu",
) -> list[Candidate]:
    """Return the candidates for images of a shape, each scaled to fill half of a budget.

    If there is only one, it fills the whole budget.

    Networks that would begin with fewer than 8 channels are left out, as long as four remain.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        flops: ζ, the FLOPs budget per image.
        depths: Numbers of blocks to try, for each stage that has blocks.
        block_order: See :class:`Architecture`.

    Raises:
        ValueError: If the images are too small, or the budget is not a positive number or too
            small for every candidate.
    """
    if not 0 < flops < math.inf:
        raise ValueError(f"flops must be a positive number of FLOPs, got {flops}")
    unscaled = list(_unscaled(input_shape, classes, depths, block_order))
    if not unscaled:
        raise ValueError(
            f"images of {input_shape[0]}×{input_shape[1]} pixels are too small for a race; each "
            f"side must have at least {_LEAST_SIDE} pixels"
        )
    least = {c.label: least_flops(c.architecture) for c in unscaled}
    part = int(flops / TRUNKS)
    fitting = [
        replace(c, architecture=scale_to_budget(c.architecture, part))
        for c in unscaled
        if least[c.label] <= part
    ]
    if not fitting:
        smallest = min(least, key=lambda label: least[label])
        raise ValueError(
            f"a budget of {flops:,.0f} FLOPs is too small: each candidate gets {part:,}, but the "
            f"smallest, {smallest} with one channel in every layer, needs {least[smallest]:,}; "
            f"the budget must be at least {TRUNKS * least[smallest]:,}"
        )
    wide = [c for c in fitting if c.architecture.stem.width >= _LEAST_WIDTH]
    ranked = sorted(fitting, key=lambda c: -c.architecture.stem.width)
    dropped = ranked[max(_FEWEST, len(wide)) :]
    # For small images with few stages, two labels may describe the same network; the first is kept.
    found = list({c.architecture: c for c in reversed(fitting) if c not in dropped}.values())[::-1]
    if len(found) > 1:
        return found
    (only,) = (c for c in unscaled if c.label == found[0].label)
    return [replace(only, architecture=scale_to_budget(only.architecture, int(flops)))]


def _unscaled(
    shape: tuple[int, int, int], classes: int, depths: Iterable[int], order: str
) -> Iterable[Candidate]:
    side = min(shape[:2])
    # One more stage without blocks for each doubling of the side beyond 32 pixels.
    more = max(0, (side - 1).bit_length() - 5)
    for depth in depths:
        for name, begins in _BEGINNINGS.items():
            if depth > 1 and name not in _FINE:
                continue
            empty = begins.empty + more
            stages = _stages(-(-side // (begins.stride * (1 + begins.pool))))
            most = _SHALLOW_STAGES if depth == 1 else _DEEP_STAGES
            count = min(stages - empty, most)
            if count < 1:
                continue
            blocks = (0,) * empty + (depth,) * count
            widths = tuple(64 * 2**i for i in range(len(blocks)))
            network = resnet_architecture(shape, classes, widths, blocks, "small", order, "average")
            stem = Stem(64, 3, begins.stride, begins.pool)
            label = f"{name} {''.join(map(str, blocks))}"
            yield Candidate(label, depth, replace(network, stem=stem))


def _stages(side: int) -> int:
    """Return how many stages are possible if each has half the side of the one before it."""
    count = 0
    while side >= _LEAST_SIDE:
        count, side = count + 1, -(-side // 2)
    return count
