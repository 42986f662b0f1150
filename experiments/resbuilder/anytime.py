"""Test accuracy over time of methods that can be stopped at any moment: curves, table, figure.

At each time, a method is judged by the network that it would return if it were stopped then: the
best one so far on validation images. The curves show the test accuracy of that network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from experiments.summary import percent_spread
from resbuilder.common.figures import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = dict[str, np.ndarray]

COLORS = (BLUE, ORANGE, GREEN, PURPLE, GRAY, RED)
# Fractions of the time for which the table has a column.
SHOWN = (0.1, 0.25, 0.5, 0.75, 1)


def best_so_far(result: dict, times: np.ndarray) -> np.ndarray:
    """Return, for each time, the test accuracy of the network best on validation; NaN before."""
    accuracy, best = np.full(len(times), np.nan), -1.0
    for network in result["networks"]:
        if network["validation"] > best:
            best = network["validation"]
            accuracy[times >= network["seconds"]] = network["test"]
    return accuracy


def curves(results: list[dict], methods: Iterable[str], end: float) -> tuple[np.ndarray, Curves]:
    """Return times up to ``end``, and accuracies (seeds, times) of each method with results."""
    times = np.linspace(0, end, 301)
    grouped = {m: [r for r in results if r["job"]["method"] == m] for m in methods}
    return times, {
        m: np.stack([best_so_far(r, times) for r in group]) for m, group in grouped.items() if group
    }


def late(times: np.ndarray) -> np.ndarray:
    """Return a mask of the times after the first tenth."""
    return times >= times[-1] / 10


def ahead(times: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return our mean minus theirs at each late time; a missing network counts as 0."""
    ours, theirs = (np.nan_to_num(a).mean(axis=0)[late(times)] for a in (ours, theirs))
    return ours - theirs


def markdown(times: np.ndarray, found: Curves, more: dict[str, list[str]] | None = None) -> str:
    """Return the table of accuracies in percent at some times.

    Args:
        times: Processor seconds.
        found: Accuracies (seeds, times) by method.
        more: Further columns by heading, with a cell for each method.
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
    """Draw every seed, and the mean once all seeds have a network."""
    from resbuilder.report.style import new_figure, percent_axis

    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        for (method, accuracy), color in zip(found.items(), COLORS, strict=False):
            axes.plot(times, accuracy.T, color=color, alpha=0.35, linewidth=0.8)
            axes.plot(times, accuracy.mean(axis=0), color=color, linewidth=2, label=method)
        axes.axvline(times[-1] / 10, color=GRAY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("processor seconds (dotted: a tenth of the time)")
        axes.set_title("Test accuracy of the best network so far on validation (thin: each seed)")
        percent_axis(axes.yaxis)
        # Showing all of the first tenth would leave too little space for the rest.
        lowest = [np.nanmin(a[:, late(times)], initial=1) for a in found.values()]
        axes.set_ylim(bottom=min(lowest) - 0.02)
        axes.legend(loc="best")
    return figure


def _cell(accuracies: np.ndarray) -> str:
    return "nothing yet" if np.isnan(accuracies).any() else percent_spread(list(accuracies))
