"""The figure of Table 6.1: test accuracy of every column over epochs."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from experiments.resbuilder.columns import COLUMNS, FROM_SCRATCH
from resbuilder.common.figures import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, RED

COLORS = {
    "res18": GRAY,
    "morphnet": PURPLE,
    "rb-r18": BLUE,
    "rb-0net": RED,
    "resnet-20": GREEN,
    "small-stem": INK,
    "random": ORANGE,
}


def draw(columns: dict[str, list[dict]]) -> Figure:
    """Draw test accuracy over epochs from scratch, and the networks with a search's weights.

    Args:
        columns: Results of all seeds by column.
    """
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    curves, ends = figure.subplots(1, 2, width_ratios=(1.5, 1))
    longest = max((r[FROM_SCRATCH] for group in columns.values() for r in group), key=len)
    epochs = [a["epochs"] for a in longest]
    for row, (name, group) in enumerate(columns.items()):
        color, trained = COLORS[name], [r[FROM_SCRATCH] for r in group if r[FROM_SCRATCH]]
        if trained:
            tests = np.array([[step["test"] for step in steps] for steps in trained], float)
            curves.plot(epochs, tests.mean(axis=0), "o-", color=color, markersize=4)
            curves.fill_between(
                epochs, tests.min(axis=0), tests.max(axis=0), color=color, alpha=0.1, linewidth=0
            )
            ends.plot(tests[:, -1], [row] * len(tests), "o", color=color, alpha=0.4, markersize=4)
            ends.plot(tests[:, -1].mean(), row, "o", color=color, markersize=7)
        found = [r["searched"]["found"] for r in group if r["searched"] and r["searched"]["found"]]
        if found:
            curves.plot(*zip(*((f["epochs"], f["test"]) for f in found), strict=True), "*",
                        color=color, markersize=11, markeredgecolor="white")  # fmt: skip
    curves.set_title("Test accuracy (lines: mean; bands: range over seeds)", loc="left")
    curves.set_xlabel("epochs from random weights")
    curves.set_xticks(epochs)
    ends.set_title(f"After {epochs[-1]} epochs (pale: seeds)", loc="left")
    ends.set_xlabel("test accuracy")
    ends.set_yticks(range(len(columns)), [COLUMNS[name].title for name in columns])
    ends.invert_yaxis()
    for axes, axis in ((curves, curves.yaxis), (ends, ends.xaxis)):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    handles = [
        *(Line2D([], [], color=COLORS[n], marker="o", label=COLUMNS[n].title) for n in columns),
        Line2D([], [], color=INK, marker="*", linestyle="", markersize=10,
               label="weights of a search, each seed"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure
