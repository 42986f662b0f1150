"""Figure 6.19: how strong must the regularization be?

::

    python -m experiments.resbuilder.studies.regularization --preset laptop

It compares searches with both terms, with neither, and with a stronger term of LayerLasso or
MorphNet.
"""

from __future__ import annotations

from functools import partial

from experiments.resbuilder.studies.figures import dots
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import (
    ALIVE,
    DEAD,
    REMOVED,
    TEST,
    Groups,
    compared,
    compared_networks,
)


def variants(base: dict) -> dict[str, dict]:
    """Return the settings of each strength by name."""
    return {
        "both terms (thesis)": {},
        "neither": {"lambda_morphnet": 0.0, "lambda_layer": 0.0},
        "λ_Λ × 10": {"lambda_layer": 10 * base["lambda_layer"]},
        "λ_M × 3": {"lambda_morphnet": 3 * base["lambda_morphnet"]},
    }


def answer(groups: Groups) -> str:
    """Compare accuracies and channels with those of the search with both terms."""
    return (
        f"Differences from the search with both terms. Test accuracy of the network found: "
        f"{compared_networks(groups)}. Alive inner channels at the MorphNet steps: "
        f"{compared(groups, ALIVE)}."
    )


STUDY = Study(
    name="regularization",
    figure="figure 6.19",
    question="How strong must the regularization be?",
    minutes=49,
    variants=variants,
    answer=answer,
    draw=partial(dots, columns=(TEST, ALIVE, REMOVED, DEAD)),
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
