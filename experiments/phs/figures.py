"""Figures of chapter 3. Each function takes stored results and returns a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.phs.rows import TITLES, rows
from experiments.phs.summary import accuracies, final_accuracy
from experiments.phs.table import Measured
from resbuilder.common.figures import BLUE, GRAY, GREEN, INK, ORANGE, RED

if TYPE_CHECKING:
    from experiments.phs.reading import Tried

PER_CENT = FuncFormatter(lambda value, _: f"{100 * value:.4g} %")


def printed_rows(measured: list[Measured]) -> Figure:
    """Draw the printed test accuracy of every row, and ours seed by seed.

    Trainings that broke down at their end would hide all differences. They are left out, and a mark
    at the left edge says how many there are, or where their mean is.

    Args:
        measured: See :func:`experiments.phs.table.measured_rows`.
    """
    usual = [m.row.accuracy for m in measured]
    usual += [a for m in measured if m.histories for a in m.accuracy("by_validation")]
    left = min(usual) - 0.05
    figure = Figure(figsize=(9, 1.8 + 0.3 * len(measured)), layout="constrained")
    final, chosen = figure.subplots(1, 2, sharey=True, sharex=True)
    colors = {"SGD": GREEN, "PHS": BLUE, "goal-oriented": RED}
    for axes, meaning, title in (
        (final, "final", "Last epoch"),
        (chosen, "by_validation", "Epoch chosen by validation"),
    ):
        axes.set_title(title, loc="left")
        for y, m in enumerate(measured):
            axes.plot(m.row.accuracy, y, "D", color=INK, markerfacecolor="white", markersize=6)
            if not m.histories:
                continue
            color, seeds = colors[m.row.optimizer], m.accuracy(meaning)
            mean = float(np.mean(seeds))
            shown = [a for a in seeds if a >= left]
            axes.plot([m.row.accuracy, max(mean, left)], [y, y], color=GRAY, linewidth=1, zorder=1)
            axes.plot(shown, [y] * len(shown), "o", color=color, alpha=0.35, markersize=4)
            if mean >= left:
                axes.plot(mean, y, "o", color=color, markersize=6)
            if lower := len(seeds) - len(shown):
                axes.plot(left, y, "<", color=color, markersize=6, clip_on=False)
                said = f" mean {100 * mean:.0f} %" if mean < left else f" {lower} lower"
                axes.text(left, y - 0.12, said, color=color, fontsize=8, va="bottom")
        axes.xaxis.set_major_formatter(PER_CENT)
    final.set_yticks(range(len(measured)), [_row_label(m) for m in measured])
    final.set_ylim(len(measured) - 0.5, -0.5)
    final.set_xlim(left=left)
    for axes in (final, chosen):
        axes.set_xlabel("test accuracy")
    legend = [Line2D([], [], marker="D", color=INK, markerfacecolor="white", ls="", label="thesis")]
    legend += [
        Line2D([], [], marker="o", color=color, ls="", label=f"{name} (mean; pale: seeds)")
        for name, color in colors.items()
        if any(m.histories and m.row.optimizer == name for m in measured)
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=4)
    return _finished(figure)


def _row_label(m: Measured) -> str:
    row = m.row
    label = f"{'SGD, ' if row.mass is None else ''}α {row.learning_rate:g}"
    if row.mass is not None:
        label += f", γ {row.friction:g}, m {row.mass:g}"
    if row.goal is not None:
        label += f": ×{row.factor:g} at {row.goal:g}"
    return label if m.batch_size == 128 else f"{label} (batches of {m.batch_size})"


def methods(groups: dict[str, list[dict]]) -> Figure:
    """Draw the test accuracy of several methods, seed by seed.

    Args:
        groups: Results with a ``history``, by name of the method.
    """
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for y, results in enumerate(groups.values()):
        final = [final_accuracy(result) for result in results]
        chosen = [accuracies(result["history"])["by_validation"] for result in results]
        for seeds, color, marker, label, shift in (
            (final, BLUE, "o", "at the end", -0.12),
            (chosen, ORANGE, "D", "best epoch by validation", 0.12),
        ):
            axes.plot(seeds, [y + shift] * len(seeds), marker, color=color, alpha=0.35, ms=4)
            axes.plot(
                np.mean(seeds), y + shift, marker, color=color, ms=6, label=None if y else label
            )
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (mean; pale: seeds)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PER_CENT)
    figure.legend(loc="outside lower center", ncols=2)
    return _finished(figure)


def histories(found: Sequence[tuple[Measured, Measured] | None], panels: Sequence[tuple]) -> Figure:
    """Draw test accuracy over the epochs without and with braking (fig. 3.3), a line for each seed.

    Args:
        found: The row without and the row with braking of each panel; None if not measured yet.
        panels: Dataset, α, γ and m of each.
    """
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    for axes, letter, pair, (dataset, alpha, friction, mass) in zip(
        figure.subplots(2, 2).flat, "abcd", found, panels, strict=True
    ):
        title = f"({letter}) {TITLES[dataset]}: α {alpha:g}, γ {friction:g}, m {mass:g}"
        axes.set_title(title, loc="left")
        axes.set_xlabel("epoch")
        axes.set_ylabel("test accuracy")
        axes.yaxis.set_major_formatter(PER_CENT)
        if pair is None:
            axes.text(0.5, 0.5, "not measured yet", ha="center", transform=axes.transAxes)
            continue
        for m, color in zip(pair, (BLUE, RED), strict=True):
            for history in m.histories:
                curve = [[entry[name] for name in ("epoch", "test_accuracy")] for entry in history]
                axes.plot(*zip(*curve, strict=True), color=color, linewidth=1.2, alpha=0.7)
            axes.axhline(m.row.accuracy, color=color, linestyle=":", linewidth=1.2)
        ends = [end for m in pair for end in (*m.accuracy("final"), m.row.accuracy)]
        axes.set_ylim(min(ends) - 0.06, max(ends) + 0.01)
    figure.legend(
        handles=[
            Line2D([], [], color=color, linestyle=style, label=label)
            for color, style, label in (
                (BLUE, "-", "PHS, each seed"),
                (RED, "-", "goal-oriented, each seed"),
                (INK, ":", "thesis, printed accuracy"),
            )
        ],
        loc="outside lower center",
        ncols=3,
    )
    return _finished(figure)


def grid(results: list[dict]) -> Figure:
    """Draw test accuracy over mass and friction (fig. 3.1), mean over seeds."""
    masses, frictions = (sorted({r["job"][name] for r in results}) for name in ("mass", "friction"))
    cells: dict[tuple, list[float]] = {}
    for result in results:
        cell = cells.setdefault((result["job"]["mass"], result["job"]["friction"]), [])
        cell.append(accuracies(result["unbraked"])["final"])
    # A cell that is not measured yet stays empty.
    values = np.array([[np.mean(cells.get((m, f), np.nan)) for f in frictions] for m in masses])
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, origin="lower", cmap="viridis", aspect="auto", vmin=0.1, vmax=0.9)
    printed = {
        (row.mass, row.friction): f"\n({100 * row.accuracy:.1f})"
        for row in rows("fashion_mnist")
        if row.optimizer == "PHS" and row.learning_rate == results[0]["job"]["learning_rate"]
    }
    for (y, x), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        axes.text(
            x,
            y,
            f"{100 * value:.1f}{printed.get((masses[y], frictions[x]), '')}",
            ha="center",
            va="center",
            color="black" if value > 0.6 else "white",
        )
    axes.set_xticks(range(len(frictions)), [f"{f:g}" for f in frictions])
    axes.set_yticks(range(len(masses)), [f"{m:g}" for m in masses])
    axes.set_xlabel("friction γ (a rate)")
    axes.set_ylabel("mass m")
    epochs = results[0]["job"]["epochs"]
    axes.set_title(f"Test accuracy in % after {epochs} epochs (in brackets: thesis)", loc="left")
    figure.colorbar(image, format=PER_CENT, label="test accuracy")
    return figure


def readings(found: list[Tried]) -> Figure:
    """Draw the printed test accuracy and that of every reading, without and with braking.

    Args:
        found: See :func:`experiments.phs.readings.tried`.
    """
    figure = Figure(figsize=(10, 1.6 + 0.36 * len(found)), layout="constrained")
    axes = figure.subplots()
    for y, one in enumerate(found):
        for row, measured, color, shift in zip(
            one.reading.printed,
            one.accuracy if one.braked else (None, None),
            (BLUE, RED),
            (-0.14, 0.14),
            strict=True,
        ):
            axes.plot(row.accuracy, y + shift, "D", color=color, mfc="white", ms=6)
            if measured is not None:
                ends = [row.accuracy, measured]
                axes.plot(ends, [y + shift] * 2, color=GRAY, linewidth=1, zorder=1)
                axes.plot(measured, y + shift, "o", color=color, ms=6)
        if y and one.reading.question != found[y - 1].reading.question:
            axes.axhline(y - 0.5, color=GRAY, linewidth=0.8)
    labels = [
        f"{one.reading.answer}\n{TITLES[one.reading.dataset]}: {one.verdict}" for one in found
    ]
    axes.set_yticks(range(len(found)), labels, fontsize=8)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(PER_CENT)
    kinds = (("without braking", BLUE), ("with braking", RED))
    handles = [
        Line2D([], [], marker=marker, color=color, mfc=face or color, ls="", label=label)
        for name, color in kinds
        for marker, face, label in (("o", None, name), ("D", "white", f"{name}, thesis"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return _finished(figure)


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    for legend in figure.legends:
        legend.set_frame_on(False)
    return figure
