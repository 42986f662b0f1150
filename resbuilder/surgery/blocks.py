"""Insertion and removal of residual blocks (thesis sec. 4.1, 4.2)."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np

from resbuilder.architecture import Architecture, Block, Stage
from resbuilder.costs import cost

ATTEMPTS = 10
# Standard deviation of the last convolution's weights, or γ of the last normalization.
NEAR_ZERO = 1e-2

INSERT_INITS = ("last_conv", "last_gamma", "glorot")


class Position(NamedTuple):
    """Position of a block: index of the stage, and index among its blocks."""

    stage: int
    position: int


def insertion_positions(architecture: Architecture) -> list[Position]:
    """Return every position where a block can be inserted.

    A block is never inserted before the stem or after the final pooling, nor before the strided
    block at the start of a projection stage, which is the end of the previous stage.
    """
    return [
        Position(index, position)
        for index, stage in enumerate(architecture.stages)
        for position in range(_first_position(stage), len(stage.blocks) + 1)
    ]


def insert_block(
    architecture: Architecture, where: Position, name: str, most_flops: float | None = None
) -> Architecture:
    """Insert a block whose two convolutions have the width of the preceding layer.

    Args:
        architecture: Architecture to insert into.
        where: One of :func:`insertion_positions`.
        name: Name of the new block.
        most_flops: Upper limit of the block's FLOPs for one image. Its inner width is the largest
            one within this limit, but at least one channel, even if that needs more, and at most
            the width of the preceding layer. None takes the latter, as the thesis does.

    Raises:
        ValueError: If no block can be inserted at this position.
    """
    where = Position(*where)
    if where not in insertion_positions(architecture):
        raise ValueError(
            f"no block can be inserted at {tuple(where)}; possible (stage, position) are "
            f"{[tuple(p) for p in insertion_positions(architecture)]}"
        )
    stage = architecture.stages[where.stage]

    def grown(inner: int) -> Architecture:
        blocks = list(stage.blocks)
        blocks.insert(where.position, Block(inner, name=name))
        return _with_stage(architecture, where.stage, replace(stage, blocks=tuple(blocks)))

    if most_flops is None:
        return grown(stage.width)
    # A block's FLOPs are proportional to its inner width.
    one_channel = cost(grown(1)).flops - cost(architecture).flops
    return grown(min(stage.width, max(1, int(most_flops // one_channel))))


def remove_blocks(architecture: Architecture, names: Iterable[str]) -> Architecture:
    """Remove blocks, but keep the skip connection (or projection) of each.

    Raises:
        ValueError: If a name is unknown, or belongs to another trunk than the first.
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of names of blocks, got {names!r}")
    names = set(names)
    if unknown := names - {block.name for stage in architecture.stages for block in stage.blocks}:
        raise ValueError(f"unknown blocks: {sorted(unknown)}")
    stages = tuple(
        replace(stage, blocks=tuple(b for b in stage.blocks if b.name not in names))
        for stage in architecture.stages
    )
    return replace(architecture, stages=stages)


def draw_insertion(
    architecture: Architecture,
    seen: Collection[Architecture],
    name: str,
    rng: np.random.Generator,
    most_flops: float | None = None,
) -> tuple[Architecture, Position] | None:
    """Insert a block at a random position so that the architecture is new (thesis sec. 4.1).

    First a stage is drawn uniformly, then a position in it. If ten draws give only known
    architectures, all positions are tried in random order.

    Args:
        architecture: Architecture to insert into.
        seen: Architectures that were already trained.
        name: Name of the new block.
        rng: Source of randomness.
        most_flops: Upper limit of the block's FLOPs, see :func:`insert_block`.

    Returns:
        The new architecture and the position, or None if every position gives a known one.
    """
    positions = insertion_positions(architecture)
    for _ in range(ATTEMPTS):
        stage = rng.integers(len(architecture.stages))
        where = positions[rng.choice([i for i, p in enumerate(positions) if p.stage == stage])]
        candidate = insert_block(architecture, where, name, most_flops)
        if candidate not in seen:
            return candidate, where
    for i in rng.permutation(len(positions)):
        candidate = insert_block(architecture, positions[i], name, most_flops)
        if candidate not in seen:
            return candidate, positions[i]
    return None


def initialize_block(
    model: keras.Model, block: str, scheme: str = "last_conv", seed: int = 0
) -> None:
    """Set the weights of a new block so that it starts near the identity.

    Only the *last* convolution or its normalization starts near zero, because an inner
    convolution that starts below MorphNet's threshold would be dead at once.

    Args:
        model: The network with the block.
        block: Name of the block.
        scheme: ``"last_conv"`` draws the last convolution from N(0, 1e-2²) (thesis: weights of
            order 1e-2). ``"last_gamma"`` sets γ of the last batch normalization to 1e-2. This
            keeps the block near the identity even in training, where normalization by batch
            statistics undoes the scale of the convolution. ``"glorot"`` keeps the usual
            initialization (released code).
        seed: Seed of the draw.

    Raises:
        ValueError: If the scheme is unknown.
    """
    if scheme not in INSERT_INITS:
        raise ValueError(f"scheme must be one of {INSERT_INITS}, got {scheme!r}")
    if scheme == "last_conv":
        kernel = model.get_layer(f"{block}_conv2").kernel
        rng = np.random.default_rng([seed, zlib.crc32(block.encode())])
        kernel.assign(rng.normal(0.0, NEAR_ZERO, kernel.shape).astype("float32"))
    elif scheme == "last_gamma":
        gamma = model.get_layer(f"{block}_bn2").gamma
        gamma.assign(np.full(gamma.shape, NEAR_ZERO, "float32"))


def _first_position(stage: Stage) -> int:
    return int(bool(stage.blocks) and stage.blocks[0].stride == 2)


def _with_stage(architecture: Architecture, index: int, stage: Stage) -> Architecture:
    stages = list(architecture.stages)
    stages[index] = stage
    return replace(architecture, stages=tuple(stages))
