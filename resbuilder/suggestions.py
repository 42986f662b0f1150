"""Suggested settings for the images of a folder and a FLOPs budget ζ, the same in each command.

They are rules of thumb from measurements on 28×28 and 32×32 images (docs/chapter6.md). Only unset
settings are suggested, and only for a user's own folders: named datasets keep the image size and
the start network of the thesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from resbuilder.architecture import Architecture
from resbuilder.config import STARTS, THESIS, Config, SearchConfig
from resbuilder.costs import cost
from resbuilder.datasets import Dataset, image_sizes, is_own_folder
from resbuilder.start_network import (
    architecture_file,
    check_start,
    default_width,
    read_architecture,
    start_architecture,
)
from resbuilder.surgery import insert_block, insertion_positions

# Sides to which images of a folder are resized; more pixels mostly cost time and gain little.
SIDES = (32, 48, 64, 96, 128)
# ζ for 32×32 images; it grows with the number of pixels.
FLOPS, SIDE = 4e6, 32

Say = Callable[[str], object]


def with_image_size(config: Config, flops: float | None, say: Say) -> Config:
    """Return the settings with an image size, if the dataset is a user's own folder.

    Args:
        config: The settings.
        flops: ζ, the FLOPs budget per image; None for no budget.
        say: Called with a line about the images and how they are resized.

    Raises:
        ValueError: If the folder or an image cannot be read.
    """
    if not is_own_folder(config.dataset, config.data_dir):
        return config
    found = image_sizes(config.dataset, config.data_dir) or []
    if config.image_size is None:
        if config.start in STARTS:
            height, width = suggested_size(found, flops)
        else:
            # The network takes images of its own size only.
            check_start(config.start)
            height, width, _ = read_architecture(architecture_file(config.start)).input_shape
        size = str(height) if height == width else f"{height}x{width}"
        config = replace(config, image_size=size)
    height, width = config.image_sides or (0, 0)
    if set(found) == {(height, width)}:
        how = "all of this size"
    else:
        sides = [(min(side), max(side)) for side in zip(*found, strict=True)]
        high, wide = (f"{a}" if a == b else f"{a} to {b}" for a, b in sides)
        done = {"stretch": "stretched", "crop": "cropped", "letterbox": "padded with black bars"}
        how = f"of height {high} and width {wide}, {done[config.fit]}"
    say(f"images: {height}×{width} pixels, {len(found)} {how}")
    return config


def with_start(config: SearchConfig, dataset: Dataset, say: Say) -> SearchConfig:
    """Return the settings of a thesis search with the start network's width, and describe it.

    Raises:
        ValueError: See :func:`.start_network.start_architecture`.
    """
    if config.method != THESIS or not is_own_folder(config.dataset, config.data_dir):
        return config
    if config.width is None and config.start in STARTS:
        config = replace(config, width=suggested_width(config, dataset))
    start = start_architecture(config, dataset)
    say(
        f"start: {config.start}, {start.stem.width} channels wide, {len(start.stages)} stages, "
        f"{cost(start).flops / 1e6:.3g} of {config.flops / 1e6:g} MFLOPs: {start}"
    )
    return config


def suggested_size(sizes: list[tuple[int, int]], flops: float | None = None) -> tuple[int, int]:
    """Return the (height, width) to which images are resized.

    If all images have one small size, that is kept. Otherwise it is the largest square that is no
    larger than the shorter side of the median image and that ζ pays for, but at least 32×32.

    Args:
        sizes: (height, width) of each image.
        flops: ζ, the FLOPs budget per image; None for no budget.
    """
    if len(set(sizes)) == 1 and max(sizes[0]) <= SIDES[-1]:
        return sizes[0]
    typical = median(min(size) for size in sizes)
    fitting = (
        side
        for side in SIDES
        if side <= typical and (flops is None or _needed_flops(side, side) <= flops)
    )
    side = max(fitting, default=SIDES[0])
    return side, side


def suggested_flops(height: int, width: int) -> float:
    """Return ζ for images of a size, rounded up to one digit, so that it pays for this size."""
    flops = _needed_flops(height, width)
    digit = 10.0 ** math.floor(math.log10(flops))
    return math.ceil(flops / digit) * digit


def _needed_flops(height: int, width: int) -> float:
    """Return the least ζ for a size: 4 MFLOPs up to 32×32, then in proportion to the pixels."""
    return FLOPS * max(1.0, height * width / SIDE**2)


def suggested_width(config: SearchConfig, dataset: Dataset) -> int:
    """Return the width of the widest start network that stays within ζ after any insertion.

    It is at most the default width of the start network, and at least 1.
    """
    # Bisection: `low` fits (or is 1), and everything above `high` does not fit.
    low, high = 1, default_width(config.start)
    while low < high:
        middle = (low + high + 1) // 2
        start = start_architecture(replace(config, width=middle), dataset)
        fits = dearest_flops(start, config.block_flops) <= config.flops
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def dearest_flops(start: Architecture, block_flops: float | None) -> int:
    """Return the FLOPs of a network after the insertion that adds the most.

    Args:
        start: The network.
        block_flops: The most FLOPs that a block may need; None for any number.
    """
    places = insertion_positions(start)
    return max(cost(insert_block(start, where, "new", block_flops)).flops for where in places)
