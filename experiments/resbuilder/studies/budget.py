"""Beyond the thesis: which options make the search beat a hand-made network of the same FLOPs?

::

    python -m experiments.resbuilder.studies.budget --preset laptop

This ablation of two options starts from RB-0Net and compares them with the thesis' method, and with
a ResNet-20 scaled to ζ. With ``insert_share``, an inserted block costs at most a share of ζ, and
MorphNet leaves room for it. This keeps every network within the budget, so that each can win. With
``inherit_channels``, channels that survive MorphNet keep their weights, so that a step does not
lose what was learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.resbuilder.columns import FROM_SCRATCH, SCALED
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
from resbuilder.common.figures import GRAY, styled

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
    # It is scaled to ζ from any width; 16 is that of He et al. (2016).
    HAND_MADE: {"start": "resnet-20", "width": 16},
}


def _scratch(result: dict, epochs: int | None = None) -> float | None:
    """Return test accuracy in % of the network trained from scratch, by default for all epochs."""
    reached = {step["epochs"]: 100 * step["test"] for step in result[FROM_SCRATCH]}
    return reached.get(max(reached, default=0) if epochs is None else epochs)


def _largest(result: dict) -> float | None:
    budget = result["job"]["settings"]["flops"]
    return max((t["flops"] / budget for t in result.get("trained", ())), default=None)


SCRATCH = Column("test accuracy, from scratch for all epochs, %", _scratch)
LARGEST = Column("largest network of the search, in ζ", _largest, 1)


def answer(groups: Groups) -> str:
    """Compare each search's network with ResNet-20 at equal epochs, as found and from scratch."""
    parts, by_hand = [], {r["job"]["settings"]["seed"]: r for r in groups[HAND_MADE]}
    for variant, results in groups.items():
        if variant == HAND_MADE:
            continue
        as_found, scratch = [], []
        for result in results:
            other, found = by_hand[result["job"]["settings"]["seed"]], result["searched"]["found"]
            if found is not None:
                as_found.append(100 * found["test"] - _scratch(other, found["epochs"]))
                scratch.append(_scratch(result) - _scratch(other))
        parts.append(
            f"{variant}: {difference_text(as_found)} as found, "
            f"{difference_text(scratch)} from scratch"
        )
    return (
        f"Difference in test accuracy from {HAND_MADE} at the same epochs, for the weights that "
        f"the search found and for its architecture trained from scratch: {'; '.join(parts)}."
    )


def draw(groups: Groups) -> Figure:
    """Draw test accuracy over epochs from scratch, and that of the networks as found."""
    import numpy as np
    from matplotlib.lines import Line2D

    from resbuilder.report.style import new_figure, percent_axis, whole_axis

    with styled():
        figure = new_figure(4.2)
        axes = figure.subplots()
        for (variant, results), (color, marker) in zip(groups.items(), STYLES, strict=False):
            curves = [[step["test"] for step in result[FROM_SCRATCH]] for result in results]
            curves = [curve for curve in curves if curve]  # of seeds that found a network
            if not curves:
                continue
            epochs = next(
                [s["epochs"] for s in r[FROM_SCRATCH]] for r in results if r[FROM_SCRATCH]
            )
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
        axes.set_xlabel("epochs of the weights")
        axes.set_title("Test accuracy of the architecture from scratch, and of the network found")
        percent_axis(axes.yaxis)
        whole_axis(axes.xaxis)
        handles, _ = axes.get_legend_handles_labels()
        handles += [
            Line2D([], [], color=GRAY, label="from scratch: mean, range"),
            *(
                Line2D([], [], color=color, marker=marker, linestyle="", label=f"{variant}, found")
                for variant, (color, marker) in zip(groups, STYLES, strict=False)
                if any(r["searched"] and r["searched"]["found"] for r in groups[variant])
            ),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure


STUDY = Study(
    name="budget",
    figure="",
    question="Which options make the search beat a hand-made network of the same FLOPs and epochs?",
    minutes=80,
    variants=lambda base: VARIANTS,
    answer=answer,
    draw=draw,
    columns=(TEST, EPOCHS, SCRATCH, FLOPS, DEPTH, LARGEST, ALIVE, DEAD),
    scratch=True,
    kinds={HAND_MADE: SCALED},
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
