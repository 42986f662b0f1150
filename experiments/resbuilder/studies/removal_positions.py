"""Where are blocks removed? (thesis fig. 6.18)

::

    python -m experiments.resbuilder.studies.removal_positions --preset laptop

The searches with and without momentum, which :mod:`.momentum` has done already, put together.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.figure import Figure

from experiments.resbuilder.studies import momentum
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import Groups
from resbuilder.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    log_axis,
    new_figure,
    styled,
    whole_axis,
)

VERDICTS = {"kept": (BLUE, "o"), "kept by momentum": (ORANGE, "s"), "removed": (RED, "X")}
FATES = {"inserted": GREEN, "removed by LayerLasso": RED, "removed by MorphNet": GREY}


def fates(groups: Groups) -> dict[str, Counter]:
    """How many blocks of each stage were inserted, removed by LayerLasso and by MorphNet."""
    results = [result for group in groups.values() for result in group]
    counts = {"inserted": Counter(i["stage"] for r in results for i in r["insertions"])}
    for by in ("LayerLasso", "MorphNet"):
        counts[f"removed by {by}"] = Counter(
            removal["stage"] for r in results for removal in r["removals"] if removal["by"] == by
        )
    return counts


def draw(groups: Groups) -> Figure:
    """LayerLasso's values over the place of a block, and what became of blocks by stage."""
    judged = [j for group in groups.values() for result in group for j in result["judged"]]
    counts = fates(groups)
    with styled():
        figure = new_figure(4.0)
        places, stages = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.7, 1]})
        for verdict, (color, marker) in VERDICTS.items():
            chosen = [j for j in judged if j["verdict"] == verdict]
            places.plot(
                [j["relative"] for j in chosen],
                [j["value"] for j in chosen],
                marker,
                color=color,
                markersize=8,
                markeredgecolor="white",
                label=f"{verdict} ({len(chosen)})",
            )
        if judged:
            places.axhline(judged[0]["threshold"], color=GREY, linestyle="--", label="τ_Λ")
        places.set_yscale("log")
        log_axis(places.yaxis)
        places.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        places.set(xlim=(-0.03, 1.03), xlabel="place among all convolutions (0: stem, 1: last)")
        places.set_title("Mean |w|, the smaller of a block's two")
        numbers = sorted(set().union(*counts.values()))
        for shift, (fate, color) in zip((-0.27, 0, 0.27), FATES.items(), strict=True):
            heights = [counts[fate][number] for number in numbers]
            stages.bar(np.arange(len(numbers)) + shift, heights, 0.25, color=color, label=fate)
        stages.set_xticks(range(len(numbers)), numbers)
        stages.set(xlabel="stage (0: full resolution)")
        stages.set_title("Blocks")
        whole_axis(stages.yaxis)
        handles, labels = places.get_legend_handles_labels()
        bars, fate_names = stages.get_legend_handles_labels()
        figure.legend(
            handles + bars, labels + fate_names, loc="outside upper center", ncols=len(labels)
        )
    return figure


def answer(groups: Groups) -> str:
    """Of how many inserted blocks how many were removed, by stage."""
    counts = fates(groups)
    inserted = counts["inserted"]
    by_stage = ", ".join(
        f"stage {stage}: {counts['removed by LayerLasso'][stage]} by LayerLasso and "
        f"{counts['removed by MorphNet'][stage]} by MorphNet of {inserted[stage]} inserted"
        for stage in sorted(inserted)
    )
    return f"Blocks removed, from full resolution on: {by_stage or 'none was inserted'}."


STUDY = Study(
    name="removal_positions",
    figure="figure 6.18",
    question="Where are blocks removed?",
    variants=momentum.STUDY.variants,
    answer=answer,
    draw=draw,
)

if __name__ == "__main__":
    STUDY.command()()
