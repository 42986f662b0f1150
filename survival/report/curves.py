"""Training curves of a run."""

from __future__ import annotations

import pandas as pd

from resbuilder.common.figures import BLUE, GRAY, INK, RED
from survival.metrics.bootstrap import FEWEST_EVENTS
from survival.report.style import Picture, new_figure, number, picture, short
from survival.run import Run


def curves_picture(name: str, run: Run) -> Picture:
    """Draw the loss and the validation C-index over epochs, and mark the epoch that was kept.

    The C-index is gray if fewer than 5 patients of the validation split had the event.

    Args:
        name: Name of the run in the report.
        run: The run.

    Returns:
        The figure.
    """
    history, kept = run.history, run.settings.get("kept_epoch")
    validation = run.predictions[run.predictions["split"] == "validation"]
    few = bool(validation.drop_duplicates("patient")["event"].sum() < FEWEST_EVENTS)
    figure = new_figure(4.2)
    top, bottom = figure.subplots(2, 1, sharex=True)
    lines = (
        (top, "loss", "training", "--", GRAY),
        (top, "val_loss", "validation", "-", BLUE),
        (bottom, "val_cindex", "validation", "-", GRAY if few else RED),
    )
    said, style = [], "o" if len(history) <= 60 else ""
    for axes, column, label, line, color in lines:
        if column in history and not history[column].isna().all():
            values = pd.to_numeric(history[column], errors="coerce")
            axes.plot(
                history["epoch"], values, line + style, color=color, label=label, markersize=3
            )
            said.append(f"{column.replace('_', ' ')} in the last epoch {number(values.iloc[-1])}")
    if "val_cindex" in history:
        bottom.axhline(0.5, color=GRAY, linewidth=0.8, linestyle=":")
    else:
        bottom.text(0.5, 0.5, "no validation split", transform=bottom.transAxes, ha="center")
        said.append("the run has no validation split")
    if kept is not None:
        for axes in (top, bottom):
            axes.axvline(kept, color=INK, linewidth=1, label="epoch kept" if axes is top else None)
        said.append(f"epoch {kept} was kept")
    top.set_title(short(name, 48))
    top.set_ylabel("loss")
    label = (
        f"C-index, validation\nfewer than {FEWEST_EVENTS} events" if few else "C-index, validation"
    )
    bottom.set_ylabel(label)
    bottom.set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return picture(figure, f"Training curves of {name}: {', '.join(said)}.")
