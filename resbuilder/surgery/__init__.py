"""Changes to a network: inserting and removing blocks, scaling widths, inheriting weights."""

from resbuilder.surgery.blocks import (
    INSERT_INITS,
    NEAR_ZERO,
    Position,
    draw_insertion,
    initialize_block,
    insert_block,
    insertion_positions,
    remove_blocks,
)
from resbuilder.surgery.inherit import inherit, inherit_trunk
from resbuilder.surgery.morphnet_step import BreakDown, MorphStep, morph
from resbuilder.surgery.scaling import least_architecture, least_flops, scale_to_budget

__all__ = [
    "INSERT_INITS",
    "NEAR_ZERO",
    "BreakDown",
    "MorphStep",
    "Position",
    "draw_insertion",
    "inherit",
    "inherit_trunk",
    "initialize_block",
    "insert_block",
    "insertion_positions",
    "least_architecture",
    "least_flops",
    "morph",
    "remove_blocks",
    "scale_to_budget",
]
