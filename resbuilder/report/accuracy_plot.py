"""Plot accuracy and depth over the architectures of a search (figs. 6.3, 6.14)."""

from __future__ import annotations

from matplotlib.lines import Line2D

from resbuilder.architecture import Architecture
from resbuilder.common.figures import GRAY, GREEN, RED
from resbuilder.report.history import History, Record
from resbuilder.report.style import (
    VARIANT_STYLE,
    Plot,
    new_figure,
    percent,
    percent_axis,
    whole_axis,
)
from resbuilder.variants import VARIANTS


def accuracy_plot(history: History) -> Plot | None:
    """Plot the three variants over architectures, with depth (thesis figs. 6.3, 6.14)."""
    if not any(True for _ in history.scores()):
        return None
    figure = new_figure(6.6)
    validation, test, depth = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 1.3]}
    )
    records = list(history.records.values())
    for axes, split in ((validation, "validation"), (test, "test")):
        for variant, (color, marker) in VARIANT_STYLE.items():
            _variant_line(axes, history, variant, split, color, marker)
        as_is = [r for r in records if r.accuracy(None, split) is not None]
        axes.plot(
            [r.index for r in as_is],
            [r.accuracy(None, split) for r in as_is],
            "x",
            color=RED,
            markersize=7,
            markeredgewidth=1.8,
        )
        percent_axis(axes.yaxis)
    validation.set_title("Validation accuracy", pad=17)
    test.set_title("Test accuracy (not used for decisions)")
    test.sharey(validation)
    _depth_panel(depth, records)
    depth.set_xlim(-0.7, len(records) - 0.3)
    for axes in (validation, test, depth):
        _morphnet_lines(axes, records, labeled=axes is validation)
    figure.legend(handles=_accuracy_legend(history), loc="outside upper center", ncols=4)
    return Plot("accuracy", "Accuracy and depth over architectures", _caption(history), figure)


def _variant_line(axes, history: History, variant: str, split: str, color, marker) -> None:
    points = [
        (r, r.accuracy(variant, split))
        for r in history.records.values()
        if r.accuracy(variant, split) is not None
    ]
    axes.plot([r.index for r, _ in points], [y for _, y in points], color=color, linewidth=1.4)
    for within in (True, False):
        chosen = [(r.index, y) for r, y in points if history.within_budget(r) is within]
        axes.plot(
            [x for x, _ in chosen],
            [y for _, y in chosen],
            marker,
            color=color,
            markersize=5.5,
            markerfacecolor=color if within else "white",
        )


def _depth_panel(axes, records: list[Record]) -> None:
    indices, depths = [r.index for r in records], [r.depth for r in records]
    axes.plot(indices, depths, ".-", color=GRAY, drawstyle="steps-mid")
    for origin, marker, color in (("insertion", "P", GREEN), ("removal", "X", RED)):
        chosen = [r for r in records if r.origin == origin]
        axes.plot(
            [r.index for r in chosen],
            [r.depth for r in chosen],
            marker,
            color=color,
            markersize=8,
            markeredgecolor="white",
        )
    axes.set_title("Depth (convolutions)")
    axes.set_xlabel("architecture")
    whole_axis(axes.xaxis)
    whole_axis(axes.yaxis, most=4)
    axes.set_ylim(0, 1.25 * max(r.depth for r in records))


def _morphnet_lines(axes, records: list[Record], labeled: bool) -> None:
    for record in records:
        if record.origin not in ("start", "morphnet"):
            continue
        x = record.index - 0.5
        if record.origin == "morphnet":
            axes.axvline(x, color=GRAY, linestyle=(0, (4, 3)), linewidth=1)
        if labeled:
            axes.annotate(
                str(widest_of_first_stage(record.architecture)),
                (x, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, 1),
                textcoords="offset points",
                fontsize=8.5,
                color=GRAY,
            )


def widest_of_first_stage(architecture: Architecture) -> int:
    """Return the largest width of stem and first stage, which is shown at a MorphNet line."""
    stage = architecture.stages[0]
    return max(architecture.stem.width, stage.width, *(b.inner for b in stage.blocks), 0)


def _accuracy_legend(history: History) -> list[Line2D]:
    origins = {r.origin for r in history.records.values()}
    handles = [
        Line2D([], [], color=color, marker=marker, markersize=5.5, label=VARIANTS[variant])
        for variant, (color, marker) in VARIANT_STYLE.items()
    ]
    if not all(map(history.within_budget, history.records.values())):
        handles.append(
            _mark("o", GRAY, "above the budget", markerfacecolor="white", markersize=5.5)
        )
    if "insertion" in origins:
        handles.append(_mark("P", GREEN, "block inserted", markeredgecolor="white"))
    if "removal" in origins:
        handles.append(_mark("X", RED, "block removed", markeredgecolor="white"))
        handles.append(_mark("x", RED, "right after a removal", markeredgewidth=1.8))
    if "morphnet" in origins:
        handles.append(
            Line2D(
                [], [], color=GRAY, linestyle=(0, (4, 3)), label="MorphNet (widest layer, stage 0)"
            )
        )
    return handles


def _mark(marker: str, color: str, label: str, **style) -> Line2D:
    return Line2D(
        [], [], color=color, linestyle="", marker=marker, label=label, **{"markersize": 8, **style}
    )


def _caption(history: History) -> str:
    records = list(history.records.values())
    best = max(history.scores(), key=lambda s: s.validation)
    first = max(
        (s for s in history.scores() if s.record.index == records[0].index),
        key=lambda s: s.validation,
        default=best,
    )
    if len(records) == 1:
        return (
            f"Only the start network: its best validation accuracy is {percent(best.validation)}."
        )
    return (
        f"The validation accuracy rises from {percent(first.validation)} of the start network "
        f"({first.label.split(' ', 1)[1]}) to {percent(best.validation)} at best ({best.label}). "
        f"The depth grows from {records[0].depth} to at most {max(r.depth for r in records)} "
        "convolutions."
    )
