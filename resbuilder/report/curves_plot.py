"""Plot the training curves of the best architecture."""

from __future__ import annotations

import numpy as np

from resbuilder.common.figures import GRAY
from resbuilder.report.history import History
from resbuilder.report.style import VARIANT_STYLE, Plot, new_figure, percent_axis, whole_axis
from resbuilder.variants import VARIANTS


def curves_plot(history: History) -> Plot | None:
    """Plot loss and accuracy of the best architecture over epochs, in its three trainings."""
    best = history.best()
    if best is None or not best.record.trainings:
        return None
    figure = new_figure(3.9)
    panels = figure.subplots(1, 2)
    for axes, key, title in zip(panels, ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True):
        for variant, training in best.record.trainings.items():
            color, marker = VARIANT_STYLE[variant]
            for name, style in ((key, "--"), (f"val_{key}", "-")):
                values = [np.nan if v is None else v for v in training.history.get(name, ())]
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
        axes.plot([], [], "--", color=GRAY, linewidth=1, label="on training data")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        whole_axis(axes.xaxis)
    percent_axis(panels[1].yaxis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    caption = (
        f"Architecture #{best.record.index}: solid lines are on validation data, dashed lines on "
        "training data during training (with augmentation, and with all active terms of the loss)."
    )
    return Plot("training", "Training curves of the best architecture", caption, figure)
