"""Figures about the best network and about which blocks were judged and how."""

from __future__ import annotations

import numpy as np

from resbuilder.report.history import History, finite
from resbuilder.report.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    RED,
    VARIANT_STYLE,
    Plot,
    log_axis,
    new_figure,
    percent,
    percent_axis,
    whole_axis,
)
from resbuilder.variants import VARIANTS

MOST_CLASSES = 20  # above, a heat map cannot be read and bars are those of the worst classes


def curves_plot(history: History) -> Plot | None:
    """Loss and accuracy of the best architecture over epochs, in its three trainings."""
    best = history.best()
    if best is None or not best.record.trainings:
        return None
    figure = new_figure(3.9)
    panels = figure.subplots(1, 2)
    for axes, key, title in zip(panels, ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True):
        for variant, training in best.record.trainings.items():
            color, marker = VARIANT_STYLE[variant]
            for name, style in ((key, "--"), (f"val_{key}", "-")):
                values = [finite(v) for v in training.get("history", {}).get(name, [])]
                values = [np.nan if v is None else v for v in values]
                axes.plot(
                    range(1, len(values) + 1),
                    values,
                    style,
                    color=color,
                    marker=marker if style == "-" else None,
                    markersize=4,
                    linewidth=1.4 if style == "-" else 1,
                    label=VARIANTS[variant] if style == "-" else None,
                )
        axes.plot([], [], "--", color=GREY, linewidth=1, label="on training data")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        whole_axis(axes.xaxis)
    percent_axis(panels[1].yaxis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    caption = (
        f"Architecture #{best.record.index}: solid on validation data, dashed on training data as "
        "the network saw it (with augmentation and every term of the loss, where these are on)."
    )
    return Plot("training", "Training curves of the best architecture", caption, figure)


def classes_plot(history: History) -> Plot | None:
    """Recall of each class, and the confusion matrix where it can be read."""
    matrix, names = confusion(history)
    if matrix is None:
        return None
    recall = class_recall(matrix)
    order = np.argsort(recall, kind="stable")[:MOST_CLASSES]
    small = len(names) <= MOST_CLASSES
    figure = new_figure(max(3.2, 1.2 + 0.24 * len(order)) if not small else 4.9)
    if small:
        bars, heat = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.35]})
        _heat_map(figure, heat, matrix, names)
    else:
        bars = figure.subplots()
    bars.barh(range(len(order)), recall[order], color=BLUE, height=0.7)
    bars.set_yticks(range(len(order)), [shorten(names[i]) for i in order])
    for place, i in enumerate(order):
        bars.annotate(
            f"{100 * recall[i]:.1f} %",
            (recall[i], place),
            xytext=(-4, 0) if recall[i] > 0.3 else (4, 0),
            textcoords="offset points",
            ha="right" if recall[i] > 0.3 else "left",
            va="center",
            color="white" if recall[i] > 0.3 else INK,
            fontsize=8,
        )
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.grid(axis="y", visible=False)
    percent_axis(bars.xaxis)
    bars.set_title(
        "Recall, hardest class first" if small else f"Recall of the {len(order)} hardest classes"
    )
    worst = order[0]
    caption = (
        f"On test data the hardest class is “{names[worst]}”: {percent(recall[worst])} of its "
        f"{int(matrix[worst].sum())} images are recognised."
    )
    return Plot("classes", "Per-class errors of the best network", caption, figure)


def _heat_map(figure, axes, matrix: np.ndarray, names: list[str]) -> None:
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The root lets single confusions be seen beside a diagonal near 1.
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    axes.set_xticks(ticks, [shorten(n) for n in names], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(ticks, [shorten(n) for n in names], fontsize=8)
    axes.grid(False)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            j,
            i,
            int(matrix[i, j]),
            ha="center",
            va="center",
            fontsize=7.5 if len(names) <= 12 else 5.5,
            color="white" if share[i, j] > 0.4 else INK,
        )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Confusion, images")


def removals_plot(history: History) -> Plot | None:
    """Where blocks were removed and where they were kept (thesis fig. 6.18)."""
    judged = judgements(history)
    if not judged:
        return None
    figure = new_figure(4.0)
    values, stages = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2, 1]})
    positive = [j["value"] for j in judged if j["value"]]
    floor = 0.5 * min(positive, default=1e-3)
    styles = {"kept": (BLUE, "o"), "kept by momentum": (ORANGE, "s"), "removed": (RED, "X")}
    for verdict, (color, marker) in styles.items():
        chosen = [j for j in judged if j["verdict"] == verdict]
        values.plot(
            [j["relative"] for j in chosen],
            [max(j["value"], floor) for j in chosen],
            marker,
            color=color,
            alpha=0.8,
            markersize=7,
            markeredgecolor="white",
            label=f"{verdict} ({len(chosen)})",
        )
    values.set_yscale("log")
    values.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    log_axis(values.yaxis)
    values.axhline(judged[-1]["threshold"], color=GREY, linestyle="--", label="threshold τ_Λ")
    values.set_xlim(-0.03, 1.03)
    values.set_xlabel("relative depth of the block (0 = first block, 1 = last)")
    values.set_title("LayerLasso value, smallest of a block")
    numbers = sorted({j["stage"] for j in judged})
    bottom = np.zeros(len(numbers))
    for verdict, (color, _) in styles.items():
        counts = np.array(
            [sum(j["stage"] == s and j["verdict"] == verdict for j in judged) for s in numbers]
        )
        stages.bar([str(s) for s in numbers], counts, bottom=bottom, color=color, width=0.6)
        bottom += counts
    stages.set_xlabel("stage")
    stages.set_title("Judgements by stage")
    whole_axis(stages.yaxis)
    figure.legend(*values.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    gone = sum(j["verdict"] == "removed" for j in judged)
    caption = (
        f"{gone} of {len(judged)} judgements removed a block; every block is judged again after "
        "each training, so one block can appear several times."
    )
    return Plot("removals", "Where blocks were kept and removed", caption, figure)


def judgements(history: History) -> list[dict]:
    """Every verdict of LayerLasso: block, value, stage, relative depth, threshold, verdict."""
    judged = []
    for event in history.of("removal"):
        for block, value in event["values"].items():
            place, value = event["positions"].get(block), finite(value)
            if place is None or value is None:
                continue
            if block in event["removed"]:
                verdict = "removed"
            elif event["kept_by_momentum"] and value < event["threshold"]:
                verdict = "kept by momentum"
            else:
                verdict = "kept"
            judged.append(
                {
                    "block": block,
                    "value": value,
                    "stage": place["stage"],
                    "relative": place["relative"],
                    "threshold": event["threshold"],
                    "verdict": verdict,
                }
            )
    return judged


def confusion(history: History) -> tuple[np.ndarray | None, list[str]]:
    """Test confusion matrix of the best network (rows true, columns predicted), class names."""
    finished = history.finished or {}
    if not finished.get("confusion"):
        return None, []
    matrix = np.asarray(finished["confusion"], dtype=np.int64)
    names = [str(n) for n in finished.get("class_names") or range(len(matrix))]
    return matrix, names


def class_recall(matrix: np.ndarray) -> np.ndarray:
    """Share of each class that is recognised; 0 for a class without images."""
    return np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)


def most_confused(matrix: np.ndarray, names: list[str], count: int = 8) -> list[dict]:
    """The largest off-diagonal entries: true and predicted class, images, share of the true."""
    off = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-off, axis=None, kind="stable")[:count]
    pairs = []
    for true, predicted in zip(*np.unravel_index(order, off.shape), strict=True):
        if images := int(off[true, predicted]):
            share = images / int(matrix[true].sum())
            pairs.append(
                {
                    "true": names[true],
                    "predicted": names[predicted],
                    "images": images,
                    "share": share,
                }
            )
    return pairs


def shorten(name: str, length: int = 14) -> str:
    """A class name that fits beside an axis."""
    return name if len(name) <= length else name[: length - 1] + "…"
