"""Plot the decisions of LayerLasso on blocks by their position (fig. 6.18)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resbuilder.common.figures import BLUE, GRAY, ORANGE, RED
from resbuilder.report.history import History
from resbuilder.report.style import Plot, log_axis, new_figure, whole_axis
from resbuilder.run import RemovalEvent


@dataclass(frozen=True)
class Judgment:
    """A decision of LayerLasso on a block.

    Attributes:
        block: Name of the block.
        value: The smaller statistic of |w| of its two convolutions.
        stage: Index of its stage.
        relative: Its position among all convolutions: 0 is the stem, 1 the last one.
        threshold: τ_Λ; a block with a smaller value is removed.
        verdict: ``"kept"``, ``"kept by momentum"`` or ``"removed"``.
    """

    block: str
    value: float
    stage: int
    relative: float
    threshold: float
    verdict: str


def removals_plot(history: History) -> Plot | None:
    """Plot where blocks were removed and where they were kept (thesis fig. 6.18)."""
    judged = judgments(history)
    if not judged:
        return None
    figure = new_figure(4.0)
    values, stages = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2, 1]})
    positive = [j.value for j in judged if j.value]
    floor = 0.5 * min(positive, default=1e-3)
    styles = {"kept": (BLUE, "o"), "kept by momentum": (ORANGE, "s"), "removed": (RED, "X")}
    for verdict, (color, marker) in styles.items():
        chosen = [j for j in judged if j.verdict == verdict]
        values.plot(
            [j.relative for j in chosen],
            [max(j.value, floor) for j in chosen],
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
    values.axhline(judged[-1].threshold, color=GRAY, linestyle="--", label="threshold τ_Λ")
    values.set_xlim(-0.03, 1.03)
    values.set_xlabel("position of the block among all convolutions (0: stem, 1: last)")
    values.set_title("LayerLasso value (smaller one of the block)")
    numbers = sorted({j.stage for j in judged})
    bottom = np.zeros(len(numbers))
    for verdict, (color, _) in styles.items():
        counts = np.array(
            [sum(j.stage == s and j.verdict == verdict for j in judged) for s in numbers]
        )
        stages.bar([str(s) for s in numbers], counts, bottom=bottom, color=color, width=0.6)
        bottom += counts
    stages.set_xlabel("stage")
    stages.set_title("Decisions by stage")
    whole_axis(stages.yaxis)
    figure.legend(*values.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    gone = sum(j.verdict == "removed" for j in judged)
    caption = (
        f"{gone} of {len(judged)} decisions removed a block. LayerLasso decides on every block "
        "after each training, so a block can appear several times."
    )
    return Plot("removals", "Where blocks were kept and removed", caption, figure)


def judgments(history: History) -> list[Judgment]:
    """Return all decisions of LayerLasso, in order."""
    judged = []
    for event in history.of(RemovalEvent):
        for block, value in event.values.items():
            place = event.positions.get(block)
            if place is None or value is None:
                continue
            if block in event.removed:
                verdict = "removed"
            elif event.kept_by_momentum and value < event.threshold:
                verdict = "kept by momentum"
            else:
                verdict = "kept"
            judged.append(
                Judgment(block, value, place.stage, place.relative, event.threshold, verdict)
            )
    return judged
