"""Where a residual block may go and how one comes and goes (thesis sec. 4.1, 4.2)."""

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
# Standard deviation of the last convolution's weights, or γ of the last normalisation.
NEAR_ZERO = 1e-2

INSERT_INITS = ("last_conv", "last_gamma", "glorot")


class Position(NamedTuple):
    """Place of a block: index of the stage, and index among its blocks."""

    stage: int
    position: int


def insertion_positions(architecture: Architecture) -> list[Position]:
    """Every place where a block can be inserted.

    A block never goes before the stem or after the pooling that ends the network, nor before the
    strided block that opens a projection stage: that place belongs to the end of the stage before.
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
        architecture: Where to insert.
        where: One of :func:`insertion_positions`.
        name: Name of the new block.
        most_flops: What the block may cost for one image: its inner width is the largest that stays
            within, but at least one channel and at most the thesis' width, which None takes.

    Raises:
        ValueError: If there is no such place.
    """
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
    # A block's cost is proportional to its inner width.
    one_channel = cost(grown(1)).flops - cost(architecture).flops
    return grown(min(stage.width, max(1, int(most_flops // one_channel))))


def remove_blocks(architecture: Architecture, names: Iterable[str]) -> Architecture:
    """Remove blocks; the skip connection (or projection) of each remains.

    Raises:
        ValueError: If a name is not that of a block.
    """
    names = set(names)
    if unknown := names - {block.name for block in architecture.blocks}:
        raise ValueError(f"no such blocks: {sorted(unknown)}")
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
    """Insert a block at random so that the result is new (thesis sec. 4.1).

    A stage is drawn uniformly, then a place in it. After ten draws that gave a known architecture,
    all places are tried in random order.

    Args:
        architecture: Where to insert.
        seen: Architectures that were trained before.
        name: Name of the new block.
        rng: Source of randomness.
        most_flops: What the block may cost, see :func:`insert_block`.

    Returns:
        The new architecture and the place, or None when every place gives a known one.
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


def initialise_block(
    model: keras.Model, block: str, scheme: str = "last_conv", seed: int = 0
) -> None:
    """Give a new block weights that start it near the identity.

    Only the *last* convolution or its normalisation starts near zero: an inner convolution that
    starts below MorphNet's threshold would be dead at once.

    Args:
        model: The network that holds the block.
        block: Name of the block.
        scheme: ``"last_conv"`` draws the last convolution from N(0, 1e-2²) (thesis: weights of
            order 1e-2); ``"last_gamma"`` sets γ of the last batch normalisation to 1e-2, which
            keeps the block near the identity also while normalisation by batch statistics undoes
            the scale of the convolution; ``"glorot"`` leaves the usual start (released code).
        seed: Seed of the draw.

    Raises:
        ValueError: If the scheme is unknown.
    """
    if scheme not in INSERT_INITS:
        raise ValueError(f"the initialisation must be one of {INSERT_INITS}, got {scheme!r}")
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
