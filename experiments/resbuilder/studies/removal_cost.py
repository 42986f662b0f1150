"""Beyond the thesis: how much accuracy does the removal of a block cost at once?

::

    python -m experiments.resbuilder.studies.removal_cost --preset laptop

LayerLasso assumes that a block with small weights contributes little. But batch normalization,
which follows a convolution (eq. 4.1), undoes the scale of its weights. So small weights do not mean
a small contribution, unless γ is also small (``insert_init`` of γ = 1e-2). Does it help if
normalization comes first, as in the released code?
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
    compared_networks,
    spread,
)
from resbuilder.common.words import count

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
    """Describe the accuracy lost by all removals of each variant, and the networks found."""
    parts = []
    for variant, results in groups.items():
        costs = [100 * cost for result in results for cost in result.get("costs", ())]
        parts.append(f"{variant}: {spread(costs, 1)} in {count(len(costs), 'removal')}")
    return (
        f"Validation accuracy, in points, lost by a removal: {'; '.join(parts)}. Difference in "
        f"test accuracy of the network found from the thesis' method: {compared_networks(groups)}."
    )


STUDY = Study(
    name="removal_cost",
    figure="",
    question="How much accuracy does the removal of a block cost at once?",
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
