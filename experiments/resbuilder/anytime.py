"""Test accuracy over time of methods that could be stopped at any moment: curves, table, figure.

A method has at a time what it would give if it were stopped then: the network that is best on
validation images so far, told by its accuracy on test images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from experiments.phs.summary import spread
from resbuilder.common.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = dict[str, np.ndarray]

COLORS = (BLUE, ORANGE, GREEN, PURPLE, GREY, RED)
# Shares of the time of which the table has a column.
SHOWN = (0.1, 0.25, 0.5, 0.75, 1)


def best_so_far(result: dict, times: np.ndarray) -> np.ndarray:
    """Return the test accuracy at each time of what is best on validation images; NaN before."""
    accuracy, best = np.full(len(times), np.nan), -1.0
    for network in result["networks"]:
        if network["validation"] > best:
            best = network["validation"]
            accuracy[times >= network["seconds"]] = network["test"]
    return accuracy


def curves(results: list[dict], methods: Iterable[str], end: float) -> tuple[np.ndarray, Curves]:
    """Return times up to ``end``, and accuracies (seeds, times) of each method that has any."""
    times = np.linspace(0, end, 301)
    grouped = {m: [r for r in results if r["job"]["method"] == m] for m in methods}
    return times, {
        m: np.stack([best_so_far(r, times) for r in group]) for m, group in grouped.items() if group
    }


def late(times: np.ndarray) -> np.ndarray:
    """Return which times are after the first tenth."""
    return times >= times[-1] / 10


def ahead(times: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return by how much our mean is above theirs at each late time; no network counts as 0."""
    ours, theirs = (np.nan_to_num(a).mean(axis=0)[late(times)] for a in (ours, theirs))
    return ours - theirs


def markdown(times: np.ndarray, found: Curves, more: dict[str, list[str]] | None = None) -> str:
    """Return the table: what each method has at some times, in percent.

    Args:
        times: Processor seconds.
        found: Accuracies (seeds, times) by method.
        more: Further columns by heading, a cell for each method.
    """
    more = more or {}
    shown = [round(share * (len(times) - 1)) for share in SHOWN]
    heads = ["test accuracy, %", *(f"{times[i]:.0f} s" for i in shown), *more]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row, (method, accuracy) in enumerate(found.items()):
        cells = [_cell(accuracy[:, i]) for i in shown] + [cells[row] for cells in more.values()]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(times: np.ndarray, found: Curves) -> Figure:
    """Return the figure: mean where all seeds have a network, and every seed."""
    from resbuilder.report.style import new_figure, percent_axis

    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        for (method, accuracy), color in zip(found.items(), COLORS, strict=False):
            axes.plot(times, accuracy.T, color=color, alpha=0.35, linewidth=0.8)
            axes.plot(times, accuracy.mean(axis=0), color=color, linewidth=2, label=method)
        axes.axvline(times[-1] / 10, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("processor seconds (dotted: a tenth of the time)")
        axes.set_title("Test accuracy of the network that is best on validation images so far")
        percent_axis(axes.yaxis)
        # What happens in the first tenth would squeeze the rest.
        lowest = [np.nanmin(a[:, late(times)], initial=1) for a in found.values()]
        axes.set_ylim(bottom=min(lowest) - 0.02)
        axes.legend(loc="lower right")
    return figure


def _cell(accuracies: np.ndarray) -> str:
    return "nothing yet" if np.isnan(accuracies).any() else spread(list(accuracies))
