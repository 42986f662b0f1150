"""Figures of the two-scanner experiment, from its stored results."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.survival.gap_tables import (
    METRICS,
    by_method,
    chosen_penalty,
    penalties,
    values,
)
from resbuilder.common.figures import BLUE, GRAY, ORANGE, PURPLE

COLORS = {"A": BLUE, "B": ORANGE}
SHORT = {
    "A": "A",
    "B": "B",
    "merged": "merged",
    "standardized": "merged,\nstandardized",
    "within": "within\nscanners",
}


def thesis_figure(results: list[dict]) -> Figure:
    """Draw Table 7.2 and fig. 7.2: scores by row, and distributions of log-hazards, by λ."""
    groups, best = penalties(results), chosen_penalty(results)
    figure = Figure(figsize=(10, 7), layout="constrained")
    (c_index, area), (without, with_penalty) = figure.subplots(2, 2)
    for axes, metric in ((c_index, "c_index"), (area, "auroc")):
        for shift, value, color in ((-0.13, 0.0, GRAY), (0.13, best, PURPLE)):
            _dots(
                axes,
                {label: values(groups[value], row, metric) for row, label in SHORT.items()},
                shift,
                color,
                f"λ = {value:g}",
            )
        axes.set_title(f"{METRICS[metric]} on test slides (pale: each seed)", loc="left")
        axes.set_ylabel(METRICS[metric])
        axes.margins(y=0.16)
        axes.legend(frameon=False, loc="upper right", ncols=2)
    for axes, value in ((without, 0.0), (with_penalty, best)):
        slides = groups[value][0]["slides"]
        everything = np.concatenate([slides[s]["log_hazard"] for s in COLORS])
        bins = np.linspace(everything.min(), everything.max(), 31)
        for scanner, color in COLORS.items():
            log_hazard = np.array(slides[scanner]["log_hazard"])
            event = np.array(slides[scanner]["event"]) == 1
            axes.hist(
                log_hazard, bins, density=True, color=color, alpha=0.5, label=f"scanner {scanner}"
            )
            height = 0.015 if scanner == "A" else 0.045
            axes.plot(
                log_hazard[event],
                np.full(event.sum(), height),
                "|",
                color=color,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
        axes.set_title(f"Log-hazards of the test slides, λ = {value:g}, seed 0", loc="left")
        axes.set_xlabel("log-hazard; ticks: slides with the event", labelpad=4)
        axes.set_ylabel("density of slides")
        axes.legend(frameon=False)
    return _plain(figure)


def methods_figure(results: list[dict]) -> Figure:
    """Draw the merged C-index over λ, and the C-index of every way to train."""
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    panels = figure.subplot_mosaic([["five", "ways"], ["large", "ways"]], width_ratios=(1, 1.35))
    five, large, ways = (panels[name] for name in ("five", "large", "ways"))
    large.sharey(five)
    _curves(five, penalties(results), "Mean C-index, batches of five")
    _curves(large, penalties(results, "batches of 32"), "Mean C-index, batches of 32")
    figure.legend(*five.get_legend_handles_labels(), loc="outside lower left", ncols=2,
                  frameon=False, fontsize=9)  # fmt: skip
    groups = by_method(results)
    for shift, row, color in (
        (-0.27, "merged", PURPLE),
        (0, "standardized", GRAY),
        (0.27, "within", BLUE),
    ):
        found = {name: values(group, row) for name, group in groups.items()}
        _dots(ways, found, shift, color, SHORT[row].replace("\n", " "), vertical=True)
    for place in range(1, len(groups)):
        ways.axhline(place - 0.5, color="#E5E7EB", linewidth=0.7)
    ways.set_ylim(len(groups) - 0.5, -0.5)
    ways.set_xlabel("C-index (large: mean; pale: each seed)")
    ways.set_title("All ways to train, test slides", loc="left")
    figure.legend(*ways.get_legend_handles_labels(), loc="outside lower right", ncols=3,
                  frameon=False, fontsize=9)  # fmt: skip
    _plain(figure)
    ways.grid(visible=False, axis="y")
    return figure


def _curves(axes, groups: dict[float, list[dict]], title: str) -> None:
    """Draw mean C-index over λ, merged and standardized, on test and validation slides."""
    for row, color in (("merged", PURPLE), ("standardized", GRAY)):
        for split, style in (("test", "-"), ("validation", "--")):
            means = [values(group, row, split=split).mean() for group in groups.values()]
            axes.plot(range(len(groups)), means, style, color=color, marker="o", markersize=4,
                      label=f"{row}, {split}")  # fmt: skip
    axes.set_xticks(range(len(groups)), [f"{value:g}" for value in groups])
    axes.set_xlabel("weight λ of the penalty")
    axes.set_title(title, loc="left")


def _dots(axes, found: dict[str, np.ndarray], shift, color, label, vertical=False) -> None:
    """Draw means as large marks and seeds as small ones."""
    for place, numbers in enumerate(found.values()):
        at = np.full(len(numbers), place + shift)
        dots = (numbers, at) if vertical else (at, numbers)
        axes.plot(*dots, "o", color=color, alpha=0.35, markersize=4)
        mean = (numbers.mean(), place + shift) if vertical else (place + shift, numbers.mean())
        axes.plot(*mean, "D", color=color, markersize=7, label=label if place == 0 else None)
    if vertical:
        axes.set_yticks(range(len(found)), list(found))
    else:
        axes.set_xticks(range(len(found)), list(found))


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    return figure
