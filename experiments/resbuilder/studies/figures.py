"""Figures of the studies."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from experiments.resbuilder.studies.tables import Column, Groups, values
from resbuilder.common.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = (
    *((BLUE, "o"), (ORANGE, "s"), (PURPLE, "D")),
    *((GREEN, "^"), (RED, "v"), (GREY, "P")),
)


def dots(groups: Groups, columns: tuple[Column, ...]) -> Figure:
    """A panel a quantity, a row a variant: seeds pale, their mean full."""
    import numpy as np

    from resbuilder.report.style import new_figure

    with styled():
        figure = new_figure(1.3 + 0.42 * len(groups))
        panels = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
        for axes, column in zip(panels, columns, strict=True):
            rows = zip(groups.values(), STYLES, strict=False)
            for y, (results, (color, marker)) in enumerate(rows):
                found = values(results, column)
                axes.plot(found, [y] * len(found), marker, color=color, alpha=0.35, markersize=5)
                if found:
                    axes.plot(np.mean(found), y, marker, color=color, markersize=8)
            axes.set_title(textwrap.fill(column.title, 64 // len(columns)), fontsize=9)
        panels[0].set_yticks(range(len(groups)), list(groups))
        panels[0].set_ylim(len(groups) - 0.5, -0.5)
    return figure


def trajectories(groups: Groups) -> Figure:
    """Accuracy, depth and FLOPs over the architectures that were trained, one line a search."""
    import numpy as np

    from resbuilder.report.style import new_figure, percent_axis, whole_axis

    with styled():
        figure = new_figure(6.2)
        accuracy, depth, flops = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [2.4, 1, 1.3]}
        )
        for (variant, results), (color, marker) in zip(groups.items(), STYLES, strict=False):
            for number, result in enumerate(results):
                budget = result["job"]["settings"]["flops"]
                trained = result["trained"]
                within = [t["flops"] <= budget for t in trained]
                for axes, ys in (
                    (accuracy, [t["validation"] for t in trained]),
                    (depth, [t["depth"] for t in trained]),
                    (flops, [t["flops"] / budget for t in trained]),
                ):
                    ys = [np.nan if y is None else y for y in ys]
                    axes.plot(ys, color=color, alpha=0.8, linewidth=1.1)
                    for inside in (True, False):
                        chosen = [(x, y) for x, y in enumerate(ys) if within[x] is inside]
                        axes.plot(
                            [x for x, _ in chosen],
                            [y for _, y in chosen],
                            marker,
                            color=color,
                            markersize=4.5,
                            markerfacecolor=color if inside else "white",
                            label=variant if inside and number == 0 else None,
                        )
        accuracy.set_title("Validation accuracy without regularizers (hollow: above the budget)")
        depth.set_title("Depth (convolutions)")
        flops.set_title("FLOPs, in budgets ζ")
        flops.set_xlabel("architecture trained")
        flops.axhline(1, color=GREY, linestyle="--", linewidth=1)
        percent_axis(accuracy.yaxis)
        whole_axis(flops.xaxis)
        whole_axis(depth.yaxis, most=4)
        _morphnet_lines((accuracy, depth, flops), next(iter(groups.values())))
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _morphnet_lines(panels, results: list[dict]) -> None:
    rounds = [t["round"] for t in results[0]["trained"]]
    for x in range(1, len(rounds)):
        if rounds[x] != rounds[x - 1]:
            for axes in panels:
                axes.axvline(x - 0.5, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
