"""A figure with a row of points for each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from resbuilder.common.figures import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rows_of_points(
    rows: Mapping[str, Sequence[float]], colors: Sequence[str], title: str, means: bool = False
) -> Figure:
    """Draw accuracies as points.

    Args:
        rows: Accuracies in 0..1 by the name of the row, from top to bottom.
        colors: The color of each row.
        title: The title.
        means: Whether a bar marks the mean of each row.
    """
    from resbuilder.report.style import new_figure, percent_axis

    with styled():
        figure = new_figure(0.9 + 0.42 * len(rows))
        axes = figure.subplots()
        for place, (values, color) in enumerate(zip(rows.values(), colors, strict=True)):
            axes.plot(values, [place] * len(values), "o", color=color, alpha=0.6, markersize=5)
            if means:
                mean = [np.mean(values)]
                axes.plot(mean, [place], "|", color=color, markersize=16, markeredgewidth=2)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)  # from top to bottom, with room for whole bars
        axes.set_title(title)
        percent_axis(axes.xaxis)
    return figure
