"""Figure 4.2: which initial weights of an inserted block are best for the search?

::

    python -m experiments.resbuilder.studies.insert_init --preset laptop

A block starts with weights of order 1e-2 in its last convolution (as the thesis says), with
γ = 1e-2 in its last batch normalization, or like any other layer (as in the released code).
"""

from __future__ import annotations

from functools import partial

from experiments.resbuilder.studies.figures import dots
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import (
    ALIVE,
    FOUND,
    TEST,
    Column,
    Groups,
    compared,
    compared_networks,
)

VARIANTS = {
    "1e-2 in the last convolution (thesis)": {},
    "γ = 1e-2": {"insert_init": "last_gamma"},
    "Glorot": {"insert_init": "glorot"},
}


def _gain(when: str):
    def mean(result: dict) -> float | None:
        gains = [100 * insertion[when] for insertion in result["insertions"]]
        return sum(gains) / len(gains) if gains else None

    return mean


FIRST = Column("gain 1 epoch after an insertion, points", _gain("first"))
END = Column("gain by an insertion, points", _gain("end"))


def answer(groups: Groups) -> str:
    """Compare the accuracies of the three with those of the thesis' weights."""
    return (
        "Differences from the thesis' weights. Gain in With-Reg validation accuracy by an "
        f"insertion: after the first epoch, {compared(groups, FIRST)}; at the end of the training, "
        f"{compared(groups, END)}. Test accuracy of the network found: {compared_networks(groups)}."
    )


STUDY = Study(
    name="insert_init",
    figure="figure 4.2",
    question="Which initial weights of an inserted block are best for the search?",
    minutes=45,
    variants=lambda base: VARIANTS,
    answer=answer,
    draw=partial(dots, columns=(FIRST, END, ALIVE, TEST)),
    columns=(FIRST, END, *FOUND),
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
