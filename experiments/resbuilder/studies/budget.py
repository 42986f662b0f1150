"""Beyond the thesis: what makes the search beat a hand-made network of the same FLOPs?

::

    python -m experiments.resbuilder.studies.budget --preset laptop

An ablation of two options against the thesis' method, all from RB-0Net, beside a ResNet-20 scaled
to ζ. A block that costs at most a share of ζ (``insert_share``), with room left for it by MorphNet,
keeps every network within the budget, so that each can win. Channels that survive MorphNet may keep
their weights (``inherit_channels``), so that what was learned is not lost at each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.resbuilder.columns import SCALED
from experiments.resbuilder.studies.figures import STYLES
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import (
    ALIVE,
    DEAD,
    DEPTH,
    EPOCHS,
    FLOPS,
    TEST,
    Column,
    Groups,
    difference_text,
)
from resbuilder.common.figures import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HAND_MADE = "ResNet-20"
SHARE = {"insert_share": 0.2}
INHERIT = {"inherit_channels": True}
VARIANTS = {
    "thesis": {},
    "share 0.2": SHARE,
    "inherit": INHERIT,
    "share 0.2, inherit": SHARE | INHERIT,
    # Scaled to ζ whatever its width; 16 is that of He et al. (2016).
    HAND_MADE: {"start": "resnet-20", "width": 16},
}


def _anew(result: dict, epochs: int | None = None) -> float | None:
    """Test accuracy in % of the network trained anew for so many epochs, by default the most."""
    reached = {step["epochs"]: 100 * step["test"] for step in result["anew"]}
    return reached.get(max(reached, default=0) if epochs is None else epochs)


def _largest(result: dict) -> float | None:
    budget = result["job"]["settings"]["flops"]
    return max((t["flops"] / budget for t in result.get("trained", ())), default=None)


ANEW = Column("test accuracy, trained anew for all epochs, %", _anew)
LARGEST = Column("largest network of the search, in ζ", _largest, 1)


def answer(groups: Groups) -> str:
    """Each search's network against ResNet-20, as found and trained anew, at equal epochs."""
    told, by_hand = [], {r["job"]["settings"]["seed"]: r for r in groups[HAND_MADE]}
    for variant, results in groups.items():
        if variant == HAND_MADE:
            continue
        as_found, anew = [], []
        for result in results:
            other, found = by_hand[result["job"]["settings"]["seed"]], result["searched"]["found"]
            if found is not None:
                as_found.append(100 * found["test"] - _anew(other, found["epochs"]))
                anew.append(_anew(result) - _anew(other))
        told.append(
            f"{variant}: {difference_text(as_found)} as found, {difference_text(anew)} trained anew"
        )
    return (
        f"Test accuracy against {HAND_MADE} at the same epochs, of the weights that the search "
        f"found and of its architecture trained anew: {'; '.join(told)}."
    )


def draw(groups: Groups) -> Figure:
    """Test accuracy over epochs from random weights on, and of the networks as found."""
    import numpy as np

    from resbuilder.report.style import new_figure, percent_axis, whole_axis

    with styled():
        figure = new_figure(4.2)
        axes = figure.subplots()
        for (variant, results), (color, marker) in zip(groups.items(), STYLES, strict=False):
            curves = [[step["test"] for step in result["anew"]] for result in results]
            curves = [curve for curve in curves if curve]  # of seeds that found a network
            if not curves:
                continue
            epochs = next([s["epochs"] for s in r["anew"]] for r in results if r["anew"])
            axes.plot(epochs, np.mean(curves, axis=0), color=color, label=variant)
            axes.fill_between(
                epochs, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.1, linewidth=0
            )
            for result in results:
                found = result["searched"] and result["searched"]["found"]
                if found:
                    axes.plot(
                        found["epochs"],
                        found["test"],
                        marker,
                        color=color,
                        markersize=8,
                        markeredgecolor="white",
                    )
        axes.set_xlabel("epochs behind the weights")
        axes.set_title(
            "Test accuracy: trained anew (lines: mean and range of seeds), as found (marks)"
        )
        percent_axis(axes.yaxis)
        whole_axis(axes.xaxis)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


STUDY = Study(
    name="budget",
    figure="no such study",
    question="What makes the search beat a hand-made network of the same FLOPs at the same epochs?",
    minutes=80,
    variants=lambda base: VARIANTS,
    answer=answer,
    draw=draw,
    columns=(TEST, EPOCHS, ANEW, FLOPS, DEPTH, LARGEST, ALIVE, DEAD),
    anew=True,
    kinds={HAND_MADE: SCALED},
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
