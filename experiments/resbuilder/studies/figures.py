"""Figures of the studies."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from experiments.resbuilder.studies.tables import Column, Groups, values
from resbuilder.common.figures import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = (
    *((BLUE, "o"), (ORANGE, "s"), (PURPLE, "D")),
    *((GREEN, "^"), (RED, "v"), (GRAY, "P")),
)


def dots(groups: Groups, columns: tuple[Column, ...]) -> Figure:
    """Draw a panel for each quantity and a row for each variant: mean large, seeds pale."""
    import numpy as np

    from resbuilder.report.style import new_figure

    with styled():
        figure = new_figure(1.5 + 0.5 * len(groups))
        panels = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
        for axes, column in zip(panels, columns, strict=True):
            rows = zip(groups.values(), STYLES, strict=False)
            for y, (results, (color, marker)) in enumerate(rows):
                found = values(results, column)
                axes.plot(found, [y] * len(found), marker, color=color, alpha=0.35, markersize=5)
                if found:
                    axes.plot(np.mean(found), y, marker, color=color, markersize=8)
            axes.set_title(textwrap.fill(column.title, 84 // len(columns)), fontsize=9)
            axes.margins(x=0.12)
        panels[0].set_yticks(range(len(groups)), [textwrap.fill(name, 26) for name in groups])
        panels[0].set_ylim(len(groups) - 0.5, -0.5)
        figure.supxlabel("large: mean over seeds; pale: each seed", fontsize=9)
    return figure


def labels(groups: Groups) -> dict[str, str]:
    """Return the legend's text for each variant, which says so if its searches equal another's."""
    seen: dict[str, str] = {}
    found = {}
    for variant, results in groups.items():
        key = str([result["trained"] for result in results])
        first = seen.setdefault(key, variant)
        found[variant] = variant if first == variant else f"{variant}: the same as {first}"
    return found


def trajectories(groups: Groups) -> Figure:
    """Draw accuracy, depth and FLOPs over the trained architectures, a line for each search.

    Variants may coincide for a while. Later ones have thinner lines and smaller markers, so that
    all stay visible.
    """
    import numpy as np
    from matplotlib.lines import Line2D

    from resbuilder.report.style import new_figure, percent_axis, whole_axis

    names = labels(groups)
    with styled():
        figure = new_figure(6.4)
        accuracy, depth, flops = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [2.4, 1, 1.3]}
        )
        for place, ((variant, results), (color, marker)) in enumerate(
            zip(groups.items(), STYLES, strict=False)
        ):
            size = 1 - place / len(groups)
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
                    axes.plot(ys, color=color, linewidth=0.6 + 2.2 * size)
                    for inside in (True, False):
                        chosen = [(x, y) for x, y in enumerate(ys) if within[x] is inside]
                        axes.plot(
                            [x for x, _ in chosen],
                            [y for _, y in chosen],
                            marker,
                            color=color,
                            markersize=2.5 + 5 * size,
                            markerfacecolor=color if inside else "white",
                            label=names[variant] if inside and number == 0 else None,
                        )
        accuracy.set_title("Validation accuracy without regularizers (hollow: above the budget)")
        depth.set_title("Depth (convolutions)")
        flops.set_title("FLOPs divided by the budget ζ")
        flops.set_xlabel("trained architectures, in order")
        flops.axhline(1, color=GRAY, linestyle="--", linewidth=1)
        percent_axis(accuracy.yaxis)
        whole_axis(flops.xaxis)
        whole_axis(depth.yaxis, most=4)
        _morphnet_lines((accuracy, depth, flops), next(iter(groups.values())))
        handles, _ = accuracy.get_legend_handles_labels()
        handles.append(Line2D([], [], color=GRAY, linestyle=(0, (4, 3)), label="MorphNet step; ζ"))
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def _morphnet_lines(panels, results: list[dict]) -> None:
    rounds = [t["round"] for t in results[0]["trained"]]
    for x in range(1, len(rounds)):
        if rounds[x] != rounds[x - 1]:
            for axes in panels:
                axes.axvline(x - 0.5, color=GRAY, linestyle=(0, (4, 3)), linewidth=1)
