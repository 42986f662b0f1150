"""Plot the recall of each class and the confusion matrix of the best network."""

from __future__ import annotations

import numpy as np

from resbuilder.common.figures import BLUE, INK
from resbuilder.report.history import History
from resbuilder.report.style import Plot, new_figure, percent, percent_axis

# With more classes, a heat map is not readable, and only the hardest classes are shown.
MOST_CLASSES = 20


def classes_plot(history: History) -> Plot | None:
    """Plot the recall of each class, and the confusion matrix if there are few classes."""
    matrix, names = confusion(history)
    if matrix is None:
        return None
    recall = class_recall(matrix)
    present = np.flatnonzero(matrix.sum(axis=1))
    order = present[np.argsort(recall[present], kind="stable")][:MOST_CLASSES]
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
        f"On test data, the hardest class is “{names[worst]}”: {percent(recall[worst])} of its "
        f"{int(matrix[worst].sum())} images are classified correctly."
    )
    return Plot("classes", "Results of the best network by class", caption, figure)


def _heat_map(figure, axes, matrix: np.ndarray, names: list[str]) -> None:
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The square root makes rare confusions visible, as the diagonal is near 1.
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
    axes.set_title("Confusion matrix (number of images)")


def confusion(history: History) -> tuple[np.ndarray | None, list[str]]:
    """Return the confusion matrix of the best network on test data, and the class names.

    Rows are true classes, columns predicted ones. The matrix is None for an unfinished run.
    """
    finished = history.finished
    if finished is None or not finished.confusion:
        return None, []
    return np.asarray(finished.confusion, dtype=np.int64), list(finished.class_names)


def class_recall(matrix: np.ndarray) -> np.ndarray:
    """Return the recall of each class; 0 for a class without images."""
    return np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)


def most_confused(matrix: np.ndarray, names: list[str], count: int = 8) -> list[dict]:
    """Return the largest off-diagonal entries: classes, images, fraction of the true class."""
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
    """Return a class name that is short enough for an axis."""
    return name if len(name) <= length else name[: length - 1] + "…"
