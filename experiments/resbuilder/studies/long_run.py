"""Figure 6.20: do many rounds keep improving the network?

::

    python -m experiments.resbuilder.studies.long_run --preset laptop

It runs two and a half times as many MorphNet rounds as the other studies: with the thesis' method,
and with the two options of :mod:`experiments.resbuilder.studies.budget`, with which later networks
can win.
"""

from __future__ import annotations

from experiments.resbuilder.studies.budget import INHERIT, SHARE
from experiments.resbuilder.studies.figures import trajectories
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import Groups
from experiments.summary import spread


def variants(base: dict) -> dict[str, dict]:
    """Return the settings of the long search, and of the same with the options of the budget."""
    rounds = {"rounds": 5 * base["rounds"] // 2}
    return {"thesis": rounds, "share 0.2, inherit": rounds | SHARE | INHERIT}


def best_by_round(result: dict) -> list[float | None]:
    """Return the test accuracy of the best network so far (by validation, within ζ) by round."""
    job, best, found = result["job"]["settings"], None, []
    for number in range(job["rounds"] + 1):
        for trained in result["trained"]:
            if trained["round"] != number or trained["validation"] is None:
                continue
            better = best is None or trained["validation"] > best["validation"]
            if better and trained["flops"] <= job["flops"]:
                best = trained
        found.append(best and best["test"])
    return found


def answer(groups: Groups) -> str:
    """Describe the best network so far, step by step, for each variant."""
    parts = []
    for variant, results in groups.items():
        runs = [best_by_round(result) for result in results]
        steps = [
            spread([100 * value for value in step if value is not None], 1)
            for step in zip(*runs, strict=True)
        ]
        last = [max((i for i in range(1, len(r)) if r[i] != r[i - 1]), default=0) for r in runs]
        parts.append(
            f"{variant}: {', '.join(steps)}; last step with a new best network, by seed: "
            f"{', '.join(map(str, last))}"
        )
    return (
        "Test accuracy in % of the best network so far (by validation, within ζ), before the first "
        f"MorphNet step and after each. {'. '.join(parts)}."
    )


STUDY = Study(
    name="long_run",
    figure="figure 6.20",
    question="Do many rounds keep improving the network?",
    minutes=36,
    variants=variants,
    answer=answer,
    draw=trajectories,
)

EXPERIMENTS = (STUDY.experiment(),)
main = STUDY.command()

if __name__ == "__main__":
    main()
