"""Checks that the parts of an architecture fit together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resbuilder.architecture.description import Architecture

PROJECTIONS = ("projection", "average")
TRANSITIONS = ("none", "pool", *PROJECTIONS)
BLOCK_ORDERS = ("conv_bn_relu", "bn_conv_relu")


def _positive(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a positive integer, got {value!r}")


def check(a: Architecture) -> None:
    """Check an architecture.

    Raises:
        ValueError: If its parts do not fit together, or the image is too small for the stages.
    """
    if not isinstance(a.input_shape, tuple) or len(a.input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {a.input_shape!r}")
    for value in a.input_shape:
        _positive(value, "each entry of input_shape")
    _positive(a.classes, "classes")
    if a.block_order not in BLOCK_ORDERS:
        raise ValueError(f"block_order must be one of {BLOCK_ORDERS}, got {a.block_order!r}")
    for value, what in ((a.stem.width, "width"), (a.stem.kernel, "kernel")):
        _positive(value, f"the stem's {what}")
    if a.stem.stride not in (1, 2) or not isinstance(a.stem.pool, bool):
        raise ValueError(f"the stem needs a stride of 1 or 2 and a boolean pool, got {a.stem}")
    if not all(isinstance(parts, tuple) for parts in (a.stages, *(s.blocks for s in a.stages))):
        raise ValueError("stages and the blocks of each stage must be tuples")
    if not a.stages:
        raise ValueError("an architecture needs at least one stage")
    width = a.stem.width
    names: set[str] = set()
    for index, stage in enumerate(a.stages):
        _positive(stage.width, f"the width of stage {index}")
        if stage.transition not in TRANSITIONS:
            raise ValueError(
                f"stage {index}: transition must be one of {TRANSITIONS}, got {stage.transition!r}"
            )
        if not stage.projects and stage.width != width:
            raise ValueError(
                f"stage {index} has {stage.width} channels, but its input has {width}; only "
                'transition "projection" or "average" changes the width'
            )
        width = stage.width
        for position, block in enumerate(stage.blocks):
            _positive(block.inner, f"the inner width of block {block.name!r}")
            strided = position == 0 and stage.projects
            if block.stride not in ((1, 2) if strided else (1,)):
                raise ValueError(
                    f"block {block.name!r} has stride {block.stride}; only the first block of a "
                    'stage with transition "projection" or "average" may have stride 2, all others '
                    "need 1"
                )
            if not isinstance(block.name, str) or not re.fullmatch(r"\w+", block.name):
                raise ValueError(
                    "a block's name must consist of letters, digits and underscores, "
                    f"got {block.name!r}"
                )
            if block.name in names:
                raise ValueError(f"each block needs a unique name, got {block.name!r} twice")
            names.add(block.name)
    if min(min(size) for size in a.resolutions()) < 1:
        raise ValueError(
            f"{a.input_shape[0]}×{a.input_shape[1]} images are too small for {len(a.stages)} "
            "stages: the feature maps would vanish; use fewer stages"
        )
    if a.beside:
        _check_beside(a)


def _check_beside(a: Architecture) -> None:
    """Check the trunks beside the first one; each has been checked by itself."""
    for number, trunk in enumerate(a.beside, start=1):
        if trunk.beside:
            raise ValueError(f"trunk {number} has trunks beside it; list all of them in the first")
        for name in ("input_shape", "classes", "block_order"):
            own, first = getattr(trunk, name), getattr(a, name)
            if own != first:
                raise ValueError(
                    f"trunks beside each other must agree in {name}: trunk {number} has {own!r}, "
                    f"the first has {first!r}"
                )
    names = [c.name for c in a.convolutions()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"convolution {twice[0]!r} would exist twice; names that begin with t1_, t2_ and so on "
            "belong to the trunks beside the first"
        )
