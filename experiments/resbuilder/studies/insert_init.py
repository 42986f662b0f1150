"""Figure 4.2: which initial weights of an inserted block serve the search best?

::

    python -m experiments.resbuilder.studies.insert_init --preset laptop

A block starts with weights of order 1e-2 in its last convolution (the thesis' words), with γ = 1e-2
in its last batch normalization, or as any other layer (the released code).
"""

from __future__ import annotations

from functools import partial

from experiments.resbuilder.studies.figures import dots
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import ALIVE, FOUND, TEST, Column, Groups, compared

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


FIRST = Column("gain after 1 epoch, points", _gain("first"))
END = Column("gain by an insertion, points", _gain("end"))


def answer(groups: Groups) -> str:
    """What the three do to the accuracy, against the thesis' weights."""
    return (
        "With-Reg validation accuracy gained by an insertion, against the thesis' weights: after "
        f"the first epoch {compared(groups, FIRST)}; at the end of the training "
        f"{compared(groups, END)}. Test accuracy of the network found: {compared(groups)}."
    )


STUDY = Study(
    name="insert_init",
    figure="figure 4.2",
    question="Which initial weights of an inserted block serve the search best?",
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
