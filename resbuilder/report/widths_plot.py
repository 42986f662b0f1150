"""Plot widths over MorphNet steps (fig. 5.5)."""

from __future__ import annotations

from matplotlib.lines import Line2D

from resbuilder.architecture import Architecture
from resbuilder.common.figures import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, RED
from resbuilder.common.words import count
from resbuilder.report.history import History
from resbuilder.report.style import Plot, new_figure, whole_axis
from resbuilder.run import MorphNetStep

# Color and marker of each stage.
STAGE_STYLE = (
    (BLUE, "o"),
    (ORANGE, "s"),
    (GREEN, "D"),
    (PURPLE, "^"),
    (RED, "v"),
    (GRAY, "P"),
)


def widths_plot(history: History) -> Plot | None:
    """Plot the number of channels after each MorphNet step (thesis fig. 5.5)."""
    steps = history.of(MorphNetStep)
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
    convs = {name for step in steps for name in step.widths_before}
    for name, stage in sorted(stage_of.items(), key=lambda item: item[1]):
        if f"{name}_conv1" in convs:
            color, marker = STAGE_STYLE[stage % len(STAGE_STYLE)]
            _width_line(inner, steps, f"{name}_conv1", color, marker, f"stage {stage}")
    trunk.set_title("Stem and stages (equal if added)")
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
        [], [], color=GRAY, linestyle="", marker="_", markersize=9, markeredgewidth=2
    )
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=5)
    final = steps[-1].widths_after
    caption = (
        f"After {count(len(steps), 'MorphNet step')} the stem has "
        f"{final.get('stem', '–')} channels; at the start it had {start.architecture.stem.width}. "
        "Lines start at the width before the first step; dashes mark the alive channels."
    )
    return Plot("widths", "Widths over MorphNet rounds", caption, figure)


def _trunk_groups(a: Architecture) -> list[tuple[str, str, tuple[str, str]]]:
    """Return a convolution for each width that stages share, with its label and style."""
    groups = [("stem", [0])]
    for index, stage in enumerate(a.stages[1:], start=1):
        if stage.projects:
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


def _width_line(
    axes, steps: list[MorphNetStep], conv: str, color: str, marker: str, label: str
) -> None:
    xs: list[int] = []
    ys: list[int] = []
    for number, step in enumerate(steps, start=1):
        before, after = step.widths_before.get(conv), step.widths_after.get(conv)
        if before is not None and not xs:
            xs.append(number - 1)
            ys.append(before)
        if before is not None or after is not None:
            xs.append(number)
            ys.append(after or 0)
        shrunk = step.widths_shrunk.get(conv)
        if shrunk is not None:
            axes.plot(number, shrunk, "_", color=color, markersize=9, markeredgewidth=2)
    axes.plot(xs, ys, color=color, marker=marker, markersize=5, linewidth=1.3, label=label)
