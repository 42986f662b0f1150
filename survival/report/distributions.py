"""Distribution of the log-hazards of each dataset (Figure 7.2 of the thesis)."""

from __future__ import annotations

import numpy as np

from resbuilder.common.figures import BLUE, INK, RED
from resbuilder.common.words import count
from survival.report.blocks import Block
from survival.report.style import Picture, new_figure, number, picture, short


def distribution_picture(block: Block) -> Picture:
    """Draw histograms of the log-hazards of the test slides, stacked on a common axis.

    Args:
        block: A block with at least one part.

    Returns:
        The figure.
    """
    risks = [part.test["log_hazard"].to_numpy() for part in block.parts]
    edges = np.histogram_bin_edges(np.concatenate(risks), bins=24)
    figure = new_figure(0.7 + 1.55 * len(risks))
    panels = figure.subplots(len(risks), 1, sharex=True, squeeze=False)[:, 0]
    said = []
    for axes, part, risk in zip(panels, block.parts, risks, strict=True):
        event = part.test["event"].to_numpy() == 1
        axes.hist(
            [risk[~event], risk[event]],
            edges,
            stacked=True,
            color=[BLUE, RED],
            alpha=0.75,
            label=["without event", "with event"],
        )
        # Ticks show the exact position of each event.
        axes.plot(risk[event], 0 * risk[event], "|", color=RED, ms=9, clip_on=False, zorder=3)
        axes.axvline(risk.mean(), color=INK, linewidth=1, linestyle="--")
        mean, sd = number(risk.mean(), 2), number(risk.std(), 2)
        axes.set_title(f"{short(part.dataset)}: mean {mean}, sd {sd}")
        axes.set_ylabel("slides")
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
        said.append(
            f"{part.dataset}: {count(len(risk), 'slide')}, {event.sum()} with the event, mean "
            f"{mean}, standard deviation {sd}"
        )
    panels[-1].set_xlabel("log-hazard (higher = higher risk)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return picture(figure, f"Histograms of log-hazards. {'; '.join(said)}.")
