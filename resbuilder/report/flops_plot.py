"""Plot accuracy over FLOPs, with the budget and the Pareto front (figs. 5.1 to 5.3)."""

from __future__ import annotations

from resbuilder.common.figures import INK, RED
from resbuilder.report.history import History, Score
from resbuilder.report.style import (
    VARIANT_STYLE,
    Plot,
    log_axis,
    new_figure,
    percent_axis,
    si,
    si_axis,
)
from resbuilder.variants import VARIANTS


def flops_plot(history: History) -> Plot | None:
    """Plot validation accuracy over FLOPs, with budget and Pareto front (thesis figs. 5.1–5.3)."""
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
    axes.set_xlabel("FLOPs per image")
    axes.set_ylabel("validation accuracy")
    figure.legend(loc="outside upper center", ncols=3)
    above = len({s.record.index for s in scores if not history.within_budget(s.record)})
    trained = len({s.record.index for s in scores})
    caption = (
        f"{len(front)} of {len(scores)} trained networks are on the Pareto front: no network with "
        f"fewer FLOPs is as accurate on validation data. {above} of {trained} trained "
        "architectures are above the budget."
    )
    return Plot("flops", "Accuracy over FLOPs", caption, figure)


def pareto_front(scores: list[Score]) -> list[Score]:
    """Return the Pareto front: no other network with at most its FLOPs is as accurate.

    Accuracy is on validation data. Sorted by FLOPs, a network is on the front if its accuracy
    exceeds that of all networks before it.
    """
    front: list[Score] = []
    for score in sorted(scores, key=lambda s: (s.record.flops, -s.validation)):
        if not front or score.validation > front[-1].validation:
            front.append(score)
    return front
