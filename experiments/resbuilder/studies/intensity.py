"""Figures 6.21 to 6.23: does a search from few channels need smaller MorphNet steps?

::

    python -m experiments.resbuilder.studies.intensity --preset laptop

The thesis starts from 16 instead of 64 channels, and applies a fraction I_M of 1, 0.5 and 0.1 of
MorphNet's change. The searches of the laptop preset start from few channels anyway.
"""

from __future__ import annotations

from experiments.resbuilder.studies.figures import trajectories
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import FOUND, Column, Groups, compared, compared_networks

FEW = 16


def variants(base: dict) -> dict[str, dict]:
    """Return the settings of each intensity by name."""
    start = {} if "width" in base else {"width": FEW}
    return {"I_M = 1 (thesis)": start} | {
        f"I_M = {value}": start | {"intensity": value} for value in (0.5, 0.1)
    }


FILLED = Column(
    "share of ζ after the last MorphNet step, %",
    lambda result: (
        100 * result["steps"][-1]["after"] / result["job"]["settings"]["flops"]
        if result["steps"]
        else None
    ),
    0,
)


def answer(groups: Groups) -> str:
    """Compare smaller steps with the whole one."""
    return (
        "Differences from I_M = 1. Test accuracy of the network found: "
        f"{compared_networks(groups)}. Share of ζ after the last MorphNet step: "
        f"{compared(groups, FILLED)}."
    )


STUDY = Study(
    name="intensity",
    figure="figures 6.21 to 6.23",
    question="Does a search from few channels need smaller MorphNet steps?",
    minutes=36,
    variants=variants,
    answer=answer,
    draw=trajectories,
    columns=(*FOUND, FILLED),
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
