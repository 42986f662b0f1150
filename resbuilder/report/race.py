"""Describe a race: its figure of loss over epochs, its winner and its best contender."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from resbuilder.common.figures import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, RED
from resbuilder.common.words import count
from resbuilder.report.history import History, Record, Score
from resbuilder.report.style import Plot, new_figure, percent, whole_axis
from resbuilder.run.events import CANDIDATE, CONTENDER, WINNER
from resbuilder.variants import COMBINED, COOLDOWN, RACE_VARIANTS, WHOLE

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, "#56B4E9", "#8C6D31", GRAY)


def race_plot(history: History) -> Plot | None:
    """Plot the validation loss of each network over the epochs of its weights."""
    racing = [r for r in history.records.values() if r.trainings and r.origin != WINNER]
    if not racing:
        return None
    figure = new_figure(4.6)
    axes = figure.subplots()
    for number, record in enumerate(racing):
        epochs, losses = _curve(record)
        contender = record.origin == CONTENDER
        color = _COLORS[number % len(_COLORS)]
        axes.plot(
            epochs,
            losses,
            "--" if contender else "-",
            color=color,
            linewidth=2.4 if COOLDOWN in record.trainings else 1.4,
            marker="o" if len(epochs) == 1 else None,
            markersize=4,
            label=f"{record.label}{' (contender)' if contender else ''}",
        )
        if not contender and COOLDOWN not in record.trainings:
            axes.plot(epochs[-1], losses[-1], "x", color=color, markersize=8, markeredgewidth=2)
    if (winner := race_winner(history)) is not None:
        loss = winner.record.trainings[COMBINED].validation.loss
        point = [history.epochs_behind(winner)], [np.nan if loss is None else loss]
        axes.plot(*point, "*", color=INK, markersize=11, zorder=3, label="final network")
    axes.set_xlabel("epochs since random weights")
    axes.set_ylabel("validation cross-entropy")
    whole_axis(axes.xaxis)
    handles, _ = axes.get_legend_handles_labels()
    handles.append(
        Line2D(
            [], [], color=INK, linestyle="", marker="x", label="dropped out, or how far it has come"
        )
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    caption = (
        "In the trial, the loss is that of averaged weights at a constant learning rate. × marks "
        "where a candidate dropped out, or how far it has come. In the cooldown (thick) and in the "
        "training of contenders (dashed), the learning rate falls to 0, which lowers the loss at "
        "the end. The final network (★) has the networks of the cooldown as its trunks, or only "
        "the better one."
    )
    return Plot("race", "The race", caption, figure)


def _curve(record: Record) -> tuple[list[int], list[float]]:
    """Return the epochs of a network's weights, and the validation loss after each."""
    losses: list[float] = []
    for variant in RACE_VARIANTS:
        if (training := record.trainings.get(variant)) is not None:
            values = training.history.get("val_loss", ())
            losses += [np.nan if value is None else value for value in values]
    return list(range(1, len(losses) + 1)), losses


def race_winner(history: History) -> Score | None:
    """Return the winner of the race, without contenders; None before it has been made."""
    scores = (s for s in history.scores() if s.variant == COMBINED)
    return next(scores, None)


def best_contender(history: History) -> Score | None:
    """Return the best trained contender on validation data."""
    scores = (s for s in history.scores() if s.variant == WHOLE)
    return max(scores, key=lambda s: s.validation, default=None)


def chosen_among(history: History, best: Score) -> str:
    """Return how the best network was chosen, in words."""
    if best.variant == WHOLE:
        return (
            f"a contender, because its validation accuracy of {percent(best.validation)} is the "
            f"highest{'' if history.finished else ' so far'}"
        )
    raced = sum(r.origin == CANDIDATE for r in history.records.values())
    trunks = len(best.record.architecture.trunks)
    which = "the winner" if trunks == 1 else f"the best {trunks}, side by side,"
    return (
        f"{which} of a race of {count(raced, 'candidate')}; its validation accuracy is "
        f"{percent(best.validation)}"
    )
