"""FLOPs against accuracy, with the budget and the Pareto front (figs. 5.1 to 5.3)."""

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
    """Plot cost against accuracy, with budget and Pareto front (thesis figs. 5.1–5.3)."""
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
    """Return the networks that no cheaper or equally cheap one matches on validation data."""
    front: list[Score] = []
    for score in sorted(scores, key=lambda s: (s.record.flops, -s.validation)):
        if not front or score.validation > front[-1].validation:
            front.append(score)
    return front
