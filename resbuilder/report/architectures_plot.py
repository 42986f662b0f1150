"""Draw the architectures (thesis figs. 6.4–6.13): a column for each, and a row for each round."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from resbuilder.common.figures import GRAY, GREEN, INK, RED
from resbuilder.report.history import History, Record
from resbuilder.report.style import WIDTH, Plot, percent, si
from resbuilder.run.events import CANDIDATE, CONTENDER, WINNER

# All lengths are in inches.
GUTTER = 0.85
LEGEND = 0.45
HEADER = 0.22
LABEL = 0.15
FOOTER = 0.5
ROW_GAP = 0.25
STAGE_GAP = 0.14
LAYER = 0.15
MOST_COLUMNS = 11
TALLEST = 30.0

PLAIN, TRUNK = "#BFD7EA", "#C9CDD3"


@dataclass(frozen=True)
class Layer:
    """A convolution as a box: its channels, and what happened to its block."""

    channels: int
    kind: str  # "trunk", "block", "inserted" or "removed".
    ends_block: bool = True


def architectures_plot(history: History) -> Plot | None:
    """Draw each architecture as stacked layers, from image (top) to head (bottom)."""
    # The trunks of a race's winner are there as candidates.
    records = [r for r in history.records.values() if r.origin != WINNER]
    if not records:
        return None
    header = HEADER + (LABEL if history.is_race else 0)
    # The widest box, as a part of its column; the resolutions of a race are beside it.
    fill = 0.62 if history.is_race else 0.9
    columns = [_stages(record, history) for record in records]
    rows = _rows(records)
    heights = [_depths([columns[i] for i in row]) for row in rows]
    layers = sum(sum(h) for h in heights)
    fixed = (
        LEGEND
        + len(rows) * (header + FOOTER + ROW_GAP)
        - ROW_GAP
        + sum(STAGE_GAP * (len(h) - 1) for h in heights)
    )
    layer = min(LAYER, max(0.04, (TALLEST - fixed) / layers))
    height = fixed + layers * layer
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    column = (WIDTH - GUTTER) / max(6, *(len(row) for row in rows))
    widest = max(x.channels for stages in columns for stage in stages for x in stage)
    _legend(axes, records)
    top = LEGEND
    for number, (row, depths) in enumerate(zip(rows, heights, strict=True)):
        first = records[row[0]]
        _row_label(axes, first, number, rows, records, top)
        for place, index in enumerate(row):
            x = GUTTER + (place + 0.5) * column
            if history.is_race:
                _race_texts(axes, history, records[index], x, top + HEADER)
                _resolutions(axes, records[index], depths, x - column / 2, top + header, layer)
            _column(axes, columns[index], depths, x, top + header, layer, fill * column / widest)
            _texts(axes, history, records[index], x, top, top + header, depths, layer)
        top += header + FOOTER + ROW_GAP + sum(depths) * layer + STAGE_GAP * (len(depths) - 1)
    caption = (
        f"Each column is a network, with its input at the top. The width of a box shows its "
        f"channels (at most {widest})."
    )
    if history.is_race:
        caption += (
            " Small numbers are the height and width of the features. ★ marks the trunks of the "
            "final network."
        )
    elif len(records) > 1:
        at_first, at_last = (len(records[i].architecture.blocks) for i in (0, -1))
        caption += (
            f" The first of the {len(records)} architectures has {at_first} residual blocks, the "
            f"last has {at_last}."
        )
    return Plot("architectures", "All architectures in order", caption, figure)


def _rows(records: list[Record]) -> list[list[int]]:
    """Return indices into ``records``, with a new row at each MorphNet step or if one is full."""
    rows: list[list[int]] = []
    for place, record in enumerate(records):
        if not rows or record.origin == "morphnet" or len(rows[-1]) == MOST_COLUMNS:
            rows.append([])
        rows[-1].append(place)
    return rows


def _stages(record: Record, history: History) -> list[list[Layer]]:
    """Return the layers by stage, including blocks that were just removed."""
    a = record.architecture
    present = {block.name: block for block in a.blocks}
    parent = None if record.parent is None else history.records[record.parent]
    drawn = parent.architecture if parent and record.removed else a
    result = []
    for index, (stage, old) in enumerate(zip(a.stages, drawn.stages, strict=True)):
        layers = []
        if index == 0:
            layers.append(Layer(a.stem.width, "trunk"))
        elif stage.projects:
            layers.append(Layer(stage.width, "trunk"))
        for block in old.blocks if drawn is not a else stage.blocks:
            kept = present.get(block.name)
            if kept is None:
                widths, kind = (block.inner, old.width), "removed"
            else:
                kind = "inserted" if block.name in record.inserted else "block"
                widths = (kept.inner, stage.width)
            layers += [Layer(widths[0], kind, False), Layer(widths[1], kind)]
        result.append(layers)
    return result


def _depths(columns: list[list[list[Layer]]]) -> list[int]:
    """Return the largest number of layers of each stage in a row, so that stages are aligned."""
    # In a race, networks may differ in the number of stages.
    stages = max(map(len, columns))
    return [max([1, *(len(c[s]) for c in columns if s < len(c))]) for s in range(stages)]


def _column(axes, stages, depths, x, top, layer, scale) -> None:
    for index, (stage, depth) in enumerate(zip(stages, depths, strict=False)):
        if index:
            _pooling(axes, x, top - STAGE_GAP / 2)
        y = top
        if not stage:
            axes.plot([x, x], [y, y + layer], color=TRUNK, linewidth=1.2)
        for box in stage:
            _box(axes, box, x, y, layer, scale)
            y += layer
        if stage and len(stage) < depth:
            axes.plot([x, x], [y, top + depth * layer], color=TRUNK, linewidth=1.2, zorder=0)
        top += depth * layer + STAGE_GAP


def _box(axes, box: Layer, x, y, layer, scale) -> None:
    width = max(0.03, box.channels * scale)
    face = {"trunk": TRUNK, "block": PLAIN, "inserted": GREEN, "removed": "white"}[box.kind]
    gap = 0.025 if box.ends_block else 0.004
    axes.add_patch(
        Rectangle(
            (x - width / 2, y),
            width,
            layer - min(gap, 0.3 * layer),
            facecolor=face,
            edgecolor=RED if box.kind == "removed" else "none",
            linestyle=(0, (2, 1.5)),
            linewidth=0.9,
        )
    )
    if layer >= 0.1:
        wide = width > 0.24
        color = "white" if box.kind == "inserted" and wide else INK
        axes.text(
            x if wide else x + width / 2 + 0.03,
            y + (layer - gap) / 2,
            box.channels,
            ha="center" if wide else "left",
            va="center_baseline",
            fontsize=6.5,
            color=RED if box.kind == "removed" else color,
        )


def _pooling(axes, x, y) -> None:
    axes.plot(x, y, marker="v", color=GRAY, markersize=4.5, markeredgewidth=0)


def _race_texts(axes, history: History, record: Record, x, y) -> None:
    """Write the name of a network of a race, and mark trunks and contenders."""
    trunks = [
        r.architecture.trunks.values() for r in history.records.values() if r.origin == WINNER
    ]
    won = record.origin == CANDIDATE and any(record.architecture in t for t in trunks)
    name = f"({record.label})" if record.origin == CONTENDER else record.label
    axes.text(x, y + 0.02, f"{name} ★" if won else name, ha="center", fontsize=7.5, color=INK)


def _resolutions(axes, record: Record, depths, x, top, layer) -> None:
    """Write the resolution of each stage at the left of its column."""
    for index, (height, width) in enumerate(record.architecture.resolutions()):
        y = top + sum(depths[:index]) * layer + index * STAGE_GAP
        axes.text(x, y + layer / 2, f"{height}×{width}", va="center", fontsize=6, color=GRAY)


def _texts(axes, history: History, record: Record, x, top, boxes, depths, layer) -> None:
    axes.text(x, top + 0.12, f"#{record.index}", ha="center", fontsize=8, weight="bold")
    bottom = boxes + sum(depths) * layer + STAGE_GAP * (len(depths) - 1)
    above = not history.within_budget(record)
    axes.text(
        x,
        bottom + 0.16,
        f"{si(record.flops)}{' ▲' if above else ''}",
        ha="center",
        fontsize=7.5,
        color=RED if above else "#374151",
    )
    accuracies = [record.accuracy(variant) for variant in (*history.variants, None)]
    if seen := [accuracy for accuracy in accuracies if accuracy is not None]:
        axes.text(x, bottom + 0.31, percent(max(seen)), ha="center", fontsize=7.5, color="#374151")


def _row_label(axes, first: Record, number, rows, records, top) -> None:
    steps = sum(records[row[0]].origin == "morphnet" for row in rows[: number + 1])
    label = {
        "start": "start",
        "morphnet": f"MorphNet\nstep {steps}",
        "candidate": "race",
    }.get(first.origin, "…")
    axes.text(0.08, top + HEADER + 0.02, label, va="top", fontsize=8.5, color=GRAY, weight="bold")
    if number:
        axes.plot([0.08, WIDTH - 0.05], [top - 0.12] * 2, color="#E5E7EB", linewidth=0.8)


def _legend(axes, records: list[Record]) -> None:
    handles: list[Artist] = [
        Patch(color=TRUNK, label="stem, projection"),
        Patch(color=PLAIN, label="block"),
    ]
    if any(r.inserted for r in records):
        handles.append(Patch(color=GREEN, label="inserted here"))
    if any(r.removed for r in records):
        handles.append(
            Patch(facecolor="white", edgecolor=RED, linestyle="--", label="removed here")
        )
    handles.append(
        Line2D(
            [], [], color=GRAY, linestyle="", marker="v", markersize=5, label="half the resolution"
        )
    )
    handles.append(
        Line2D([], [], linestyle="", label="below: FLOPs (▲ above the budget), validation accuracy")
    )
    axes.legend(
        handles=handles, loc="upper left", ncols=6, fontsize=8, columnspacing=1.2, handlelength=1.4
    )
