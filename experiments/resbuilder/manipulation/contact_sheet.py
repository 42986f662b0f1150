"""A sheet of example pairs: authentic image, manipulated image, mask, and error levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from experiments.resbuilder.manipulation.generate import IMAGES, LABELS, MASKS, TABLE
from experiments.resbuilder.manipulation.kinds import KINDS
from resbuilder.datasets import error_level_analysis

EXAMPLES = 3  # of each kind
BRIGHTNESS = 20  # factor that makes the error levels visible
COLUMNS = ("authentic", "manipulated", "mask", f"error levels\n×{BRIGHTNESS}")
FONT = 14  # points: the sheet is shown at less than half of its width


def contact_sheet(folder: Path, part: str = "train") -> Figure:
    """Draw examples of every kind, spread over a part of the generated images.

    Args:
        folder: The folder that :func:`generate` made.
        part: ``"train"`` or ``"test"``.
    """
    table = pd.read_csv(folder / TABLE)
    table = table[table["part"] == part]
    figure = Figure(figsize=(2 + 1.3 * len(COLUMNS) * EXAMPLES, 1.4 * len(KINDS)))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    grid = figure.subplots(len(KINDS), len(COLUMNS) * EXAMPLES, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0], COLUMNS * EXAMPLES, strict=True):
        axes.set_title(title, fontsize=FONT)
    for line, kind in zip(grid, KINDS, strict=True):
        line[0].set_axis_on()
        line[0].set(xticks=[], yticks=[])
        line[0].set_ylabel(kind, fontsize=FONT, rotation=0, ha="right", va="center")
        names = table["name"][table["kind"] == kind].tolist()
        # Fewer than EXAMPLES if so few were made of this kind.
        chosen = list(dict.fromkeys(np.linspace(0, len(names) - 1, EXAMPLES).astype(int)))
        examples = [names[i] for i in chosen if 0 <= i < len(names)]
        for start, name in zip(range(0, len(line), len(COLUMNS)), examples, strict=False):
            for axes, pixels in zip(line[start:], _panels(folder, part, name), strict=False):
                axes.imshow(pixels, cmap="gray", interpolation="nearest")
    return figure


def _panels(folder: Path, part: str, name: str) -> list[np.ndarray]:
    images = [
        np.asarray(Image.open(folder / IMAGES / part / label / f"{name}.jpg")) for label in LABELS
    ]
    mask = np.asarray(Image.open(folder / MASKS / part / f"{name}.png"))
    levels = BRIGHTNESS * error_level_analysis(images[1]).astype(int)
    return [*images, mask, np.minimum(levels, 255)]
