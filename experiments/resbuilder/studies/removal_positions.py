"""Figure 6.18: where are blocks removed?

::

    python -m experiments.resbuilder.studies.removal_positions --preset laptop

It searches from one convolution and from ResNet-18, whose initial blocks may be removed, too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import Groups
from resbuilder.common.figures import BLUE, GRAY, GREEN, ORANGE, RED, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = {"kept": (BLUE, "o"), "kept by momentum": (ORANGE, "s"), "removed": (RED, "X")}
THERE = "initial or inserted"
FATES = {THERE: GREEN, "removed by LayerLasso": RED, "removed by MorphNet": GRAY}


def fates(results: list[dict]) -> dict[str, Counter]:
    """Count initial and inserted blocks of each stage, and those removed by either method."""
    counts = {THERE: Counter(i["stage"] for r in results for i in r["insertions"])}
    for result in results:
        counts[THERE].update(dict(enumerate(result["start"])))
    for by in ("LayerLasso", "MorphNet"):
        counts[f"removed by {by}"] = Counter(
            removal["stage"] for r in results for removal in r["removals"] if removal["by"] == by
        )
    return counts


def draw(groups: Groups) -> Figure:
    """Draw LayerLasso's values over the position of a block, and counts of blocks by stage."""
    import numpy as np

    from resbuilder.report.style import log_axis, new_figure, whole_axis

    judged = [j for group in groups.values() for result in group for j in result["judged"]]
    counts = fates([result for group in groups.values() for result in group])
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
            threshold = judged[0]["threshold"]
            places.axhline(threshold, color=GRAY, linestyle="--", label="threshold τ_Λ")
        places.set_yscale("log")
        log_axis(places.yaxis)
        places.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        places.set(xlim=(-0.03, 1.03), xlabel="position among all convolutions (0: stem, 1: last)")
        places.set_title("Smaller mean |w| of a block's two convolutions")
        numbers = sorted(set().union(*counts.values()))
        for shift, (fate, color) in zip((-0.27, 0, 0.27), FATES.items(), strict=True):
            heights = [counts[fate][number] for number in numbers]
            stages.bar(np.arange(len(numbers)) + shift, heights, 0.25, color=color, label=fate)
        stages.set_xticks(range(len(numbers)), numbers)
        stages.set(xlabel="stage (0: the first)")
        stages.set_title("Number of blocks")
        whole_axis(stages.yaxis)
        handles, labels = places.get_legend_handles_labels()
        bars, fate_names = stages.get_legend_handles_labels()
        figure.legend(
            handles + bars, labels + fate_names, loc="outside upper center", ncols=len(labels)
        )
    return figure


def answer(groups: Groups) -> str:
    """Say how many blocks were removed, and of how many, by stage."""
    parts = []
    for variant, results in groups.items():
        there, by_layer_lasso, by_morphnet = fates(results).values()
        by_stage = ", ".join(
            f"{by_layer_lasso[stage]} and {by_morphnet[stage]} of {there[stage]} (stage {stage})"
            for stage in sorted(there)
        )
        parts.append(f"{variant}: {by_stage}")
    return (
        "Blocks removed by LayerLasso and by MorphNet, of all initial and inserted blocks, from "
        f"the first stage on: {'; '.join(parts)}."
    )


STUDY = Study(
    name="removal_positions",
    figure="figure 6.18",
    question="Where are blocks removed?",
    minutes=39,
    variants=lambda base: {"from one convolution": {}, "from ResNet-18": {"start": "rb-r18"}},
    answer=answer,
    draw=draw,
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
