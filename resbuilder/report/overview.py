"""Figures of how a search went: accuracy, cost and widths over its architectures."""

from __future__ import annotations

from matplotlib.lines import Line2D

from resbuilder.architecture import Architecture
from resbuilder.report.history import History, Record, Score, finite
from resbuilder.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RED,
    VARIANT_STYLE,
    Plot,
    log_axis,
    new_figure,
    percent,
    percent_axis,
    si,
    si_axis,
    whole_axis,
)
from resbuilder.variants import VARIANTS

# Stages need more colours than variants; hue and marker change together.
STAGE_STYLE = (
    (BLUE, "o"),
    (ORANGE, "s"),
    (GREEN, "D"),
    (PURPLE, "^"),
    (RED, "v"),
    (GREY, "P"),
)


def accuracy_plot(history: History) -> Plot | None:
    """The three variants over architectures, with depth (thesis figs. 6.3, 6.14)."""
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
    test.set_title("Test accuracy (reported, never used to decide)")
    test.sharey(validation)
    _depth_panel(depth, records)
    depth.set_xlim(-0.7, len(records) - 0.3)
    for axes in (validation, test, depth):
        _morphnet_lines(axes, records, labelled=axes is validation)
    figure.legend(handles=_accuracy_legend(history), loc="outside upper center", ncols=4)
    return Plot("accuracy", "Accuracy and depth over architectures", _told(history), figure)


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
    axes.plot(indices, depths, ".-", color=GREY, drawstyle="steps-mid")
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


def _morphnet_lines(axes, records: list[Record], labelled: bool) -> None:
    for record in records:
        if record.origin not in ("start", "morphnet"):
            continue
        x = record.index - 0.5
        if record.origin == "morphnet":
            axes.axvline(x, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        if labelled:
            axes.annotate(
                str(widest_of_first_stage(record.architecture)),
                (x, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, 1),
                textcoords="offset points",
                fontsize=8.5,
                color=GREY,
            )


def widest_of_first_stage(architecture: Architecture) -> int:
    """The number at a MorphNet line: the largest width among the first stage's convolutions."""
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
            _mark("o", GREY, "above the budget", markerfacecolor="white", markersize=5.5)
        )
    if "insertion" in origins:
        handles.append(_mark("P", GREEN, "block inserted", markeredgecolor="white"))
    if "removal" in origins:
        handles.append(_mark("X", RED, "block removed", markeredgecolor="white"))
        handles.append(_mark("x", RED, "as it stands after a removal", markeredgewidth=1.8))
    if "morphnet" in origins:
        handles.append(
            Line2D([], [], color=GREY, linestyle=(0, (4, 3)), label="MorphNet (widest of stage 0)")
        )
    return handles


def _mark(marker: str, color: str, label: str, **style) -> Line2D:
    return Line2D(
        [], [], color=color, linestyle="", marker=marker, label=label, **{"markersize": 8, **style}
    )


def _told(history: History) -> str:
    records = list(history.records.values())
    best = max(history.scores(), key=lambda s: s.validation)
    first = max(
        (s for s in history.scores() if s.record.index == records[0].index),
        key=lambda s: s.validation,
        default=best,
    )
    if len(records) == 1:
        return (
            f"The start network alone: its best validation accuracy is {percent(best.validation)}."
        )
    return (
        f"From the start network ({first.label.split(' ', 1)[1]}, {percent(first.validation)} on "
        f"validation data) to the highest point, {percent(best.validation)} ({best.label}), "
        f"while depth went from {records[0].depth} to at most {max(r.depth for r in records)} "
        "convolutions."
    )


def flops_plot(history: History) -> Plot | None:
    """Cost against accuracy, with budget and Pareto front (thesis figs. 5.1–5.3)."""
    scores = list(history.scores())
    if not scores:
        return None
    figure = new_figure(4.4)
    axes = figure.subplots()
    for variant, (color, marker) in VARIANT_STYLE.items():
        chosen = [s for s in scores if s.variant == variant]
        axes.plot(
            [s.record.flops for s in chosen],
            [s.validation for s in chosen],
            marker,
            color=color,
            markersize=5.5,
            alpha=0.75,
            label=VARIANTS[variant],
        )
    front = pareto_front(scores)
    xs, ys = [s.record.flops for s in front], [s.validation for s in front]
    axes.plot(
        xs, ys, color=INK, linewidth=1.2, drawstyle="steps-post", label="Pareto front", zorder=1.5
    )
    best = history.best()
    if best is not None and best.validation is not None:
        axes.plot(
            best.record.flops,
            best.validation,
            "*",
            color=INK,
            markersize=15,
            markeredgecolor="white",
            label=f"best within the budget, {best.label}",
        )
    flops = [s.record.flops for s in scores] + ([history.budget] if history.budget else [])
    if max(flops) > 5 * min(flops):
        axes.set_xscale("log")
        log_axis(axes.xaxis)
    si_axis(axes.xaxis)
    if history.budget:
        axes.axvline(history.budget, color=RED, linewidth=1.4, label=f"budget {si(history.budget)}")
        left, right = axes.get_xlim()
        axes.axvspan(history.budget, max(right, history.budget), color=RED, alpha=0.06, linewidth=0)
        axes.set_xlim(left, right)
    percent_axis(axes.yaxis)
    axes.set_xlabel("FLOPs for one image")
    axes.set_ylabel("validation accuracy")
    figure.legend(loc="outside upper center", ncols=3)
    above = len({s.record.index for s in scores if not history.within_budget(s.record)})
    trained = len({s.record.index for s in scores})
    caption = (
        f"On the Pareto front, where nothing cheaper is as accurate on validation data: "
        f"{len(front)} of {len(scores)} trained networks. Above the budget: {above} of {trained} "
        "trained architectures."
    )
    return Plot("flops", "FLOPs against accuracy", caption, figure)


def pareto_front(scores: list[Score]) -> list[Score]:
    """The networks that no cheaper or equally cheap one matches in validation accuracy."""
    front: list[Score] = []
    for score in sorted(scores, key=lambda s: (s.record.flops, -s.validation)):
        if not front or score.validation > front[-1].validation:
            front.append(score)
    return front


def widths_plot(history: History) -> Plot | None:
    """Channels after each MorphNet step (thesis fig. 5.5)."""
    steps = [event for event in history.of("morphnet") if not event["dead"]]
    if not steps:
        return None
    figure = new_figure(4.2)
    trunk, inner = figure.subplots(1, 2, sharey=True)
    start = next(iter(history.records.values()))
    stage_of = {
        block.name: index
        for record in history.records.values()
        for index, stage in enumerate(record.architecture.stages)
        for block in stage.blocks
    }
    for group, label, (color, marker) in _trunk_groups(start.architecture):
        _width_line(trunk, steps, group, color, marker, label)
    convs = {name for step in steps for name in step["widths_before"]}
    for name, stage in sorted(stage_of.items(), key=lambda item: item[1]):
        if f"{name}_conv1" in convs:
            color, marker = STAGE_STYLE[stage % len(STAGE_STYLE)]
            _width_line(inner, steps, f"{name}_conv1", color, marker, f"stage {stage}")
    trunk.set_title("Stem and stages (equal where added)")
    inner.set_title("Inside blocks (first convolution)")
    trunk.set_ylabel("channels")
    for axes in (trunk, inner):
        axes.set_xlabel("MorphNet step")
        axes.set_ylim(bottom=0)
        whole_axis(axes.xaxis)
    trunk.yaxis.get_major_locator().set_params(integer=True)
    lines = {line.get_label(): line for axes in (trunk, inner) for line in axes.lines}
    lines = {label: line for label, line in lines.items() if not label.startswith("_")}
    lines["alive, before scaling"] = Line2D(
        [], [], color=GREY, linestyle="", marker="_", markersize=9, markeredgewidth=2
    )
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=5)
    final = steps[-1]["widths_after"]
    caption = (
        f"After {len(steps)} MorphNet step{'s' * (len(steps) > 1)} the stem has "
        f"{final.get('stem', '–')} channels; it started with {start.architecture.stem.width}. "
        "Lines start at the width before the first step; bars show the alive channels."
    )
    return Plot("widths", "Widths over MorphNet rounds", caption, figure)


def _trunk_groups(a: Architecture) -> list[tuple[str, str, tuple[str, str]]]:
    """One convolution for each width that stages share, with a label and a style."""
    groups = [("stem", [0])]
    for index, stage in enumerate(a.stages[1:], start=1):
        if stage.transition == "projection":
            groups.append((f"s{index}_proj", [index]))
        else:
            groups[-1][1].append(index)
    named = []
    for conv, stages in groups:
        span = f"stage {stages[0]}" if len(stages) == 1 else f"stages {stages[0]}–{stages[-1]}"
        label = f"stem, {span}" if conv == "stem" else span
        style = (INK, "P") if conv == "stem" else STAGE_STYLE[stages[0] % len(STAGE_STYLE)]
        named.append((conv, label, style))
    return named


def _width_line(axes, steps: list[dict], conv: str, color: str, marker: str, label: str) -> None:
    xs, ys = [], []
    for number, step in enumerate(steps, start=1):
        before, after = (finite(step[k].get(conv)) for k in ("widths_before", "widths_after"))
        if before is not None and not xs:
            xs.append(number - 1)
            ys.append(before)
        if before is not None or after is not None:
            xs.append(number)
            ys.append(after or 0)
        shrunk = finite(step["widths_shrunk"].get(conv))
        if shrunk is not None:
            axes.plot(number, shrunk, "_", color=color, markersize=9, markeredgewidth=2)
    axes.plot(xs, ys, color=color, marker=marker, markersize=5, linewidth=1.3, label=label)
