"""Changing a network: blocks come and go, and trained weights follow."""

from resbuilder.surgery.inherit import inherit
from resbuilder.surgery.moves import (
    INSERT_INITS,
    Position,
    draw_insertion,
    initialise_block,
    insert_block,
    insertion_positions,
    remove_blocks,
)

__all__ = [
    "INSERT_INITS",
    "Position",
    "draw_insertion",
    "inherit",
    "initialise_block",
    "insert_block",
    "insertion_positions",
    "remove_blocks",
]
