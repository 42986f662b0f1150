"""Beyond the thesis: what does a removal take from the network as it stands?

::

    python -m experiments.resbuilder.studies.removal_cost --preset laptop

LayerLasso takes a block with small weights for one that adds little. Behind a convolution comes a
batch normalization (eq. 4.1), which undoes their scale: small weights do not mean a small
contribution, unless γ is small too (``insert_init`` of γ = 1e-2). Does it help if the normalization
comes first (the released code's order)?
"""

from __future__ import annotations

from functools import partial

from experiments.resbuilder.studies.figures import dots
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import (
    DEPTH,
    FOUND,
    REMOVED,
    TEST,
    Column,
    Groups,
    compared,
    spread,
)

VARIANTS = {
    "conv → BN, 1e-2 in the last convolution (thesis)": {},
    "conv → BN, γ = 1e-2": {"insert_init": "last_gamma"},
    "BN → conv (released code)": {"block_order": "bn_conv_relu"},
}


def _cost(result: dict) -> float | None:
    costs = result.get("costs")
    return 100 * sum(costs) / len(costs) if costs else None


COST = Column("validation accuracy lost by a removal, points", _cost, 1)


def answer(groups: Groups) -> str:
    """Accuracy lost by all removals of each variant, and the networks found."""
    told = []
    for variant, results in groups.items():
        costs = [100 * cost for result in results for cost in result.get("costs", ())]
        told.append(f"{variant}: {spread(costs, 1)} in {len(costs)} removal(s)")
    return (
        f"Validation accuracy, in points, that a removal took: {'; '.join(told)}. Test accuracy of "
        f"the network found, against the thesis: {compared(groups)}."
    )


STUDY = Study(
    name="removal_cost",
    figure="no such study",
    question="What does a removal take from the network as it stands?",
    minutes=47,
    variants=lambda base: VARIANTS,
    answer=answer,
    draw=partial(dots, columns=(COST, REMOVED, DEPTH, TEST)),
    columns=(COST, *FOUND),
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
