"""Figure 6.3: does LayerLasso's momentum help?

::

    python -m experiments.resbuilder.studies.momentum --preset laptop

With momentum, no block is removed after an insertion that raised validation accuracy by τ_LL.
"""

from __future__ import annotations

from experiments.resbuilder.studies.figures import trajectories
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import FOUND, Column, Groups, compared_networks, values
from experiments.summary import spread

VARIANTS = {"momentum (thesis)": {}, "no momentum": {"momentum": False}}


def _count(verdict: str):
    return lambda result: sum(judged["verdict"] == verdict for judged in result["judged"])


KEPT = Column("blocks kept by momentum", _count("kept by momentum"), 1)
REMOVED = Column("blocks removed", _count("removed"), 1)


def answer(groups: Groups) -> str:
    """Say how often momentum made a decision, and what it changed."""
    on, off = groups.values()
    return (
        f"Momentum kept a block {spread(values(on, KEPT), 1)} times in a search. With it, "
        f"{spread(values(on, REMOVED), 1)} blocks were removed; without it, "
        f"{spread(values(off, REMOVED), 1)}. Difference in test accuracy of the network found: "
        f"{compared_networks(groups)}."
    )


STUDY = Study(
    name="momentum",
    figure="figure 6.3",
    question="Does LayerLasso's momentum help?",
    minutes=33,
    variants=lambda base: VARIANTS,
    answer=answer,
    draw=trajectories,
    columns=(KEPT, *FOUND),
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
