"""Do many rounds go on improving the network? (thesis fig. 6.20)

::

    python -m experiments.resbuilder.studies.long_run --preset laptop

Two and a half times as many MorphNet rounds as in the other studies.
"""

from __future__ import annotations

from experiments.resbuilder.studies.figures import trajectories
from experiments.resbuilder.studies.study import Study
from experiments.resbuilder.studies.tables import Groups, spread


def variants(base: dict) -> dict[str, dict]:
    """The one long search."""
    rounds = 5 * base["rounds"] // 2
    return {f"{rounds} rounds": {"rounds": rounds}}


def best_by_round(result: dict) -> list[float | None]:
    """Test accuracy of the best network so far, by validation within ζ, after each round."""
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
    """The best network so far, step by step."""
    runs = [best_by_round(result) for group in groups.values() for result in group]
    steps = [
        spread([100 * value for value in step if value is not None], 1)
        for step in zip(*runs, strict=True)
    ]
    last = [max((i for i in range(1, len(r)) if r[i] != r[i - 1]), default=0) for r in runs]
    return (
        "Test accuracy in % of the best network so far (by validation, within ζ), before the first "
        f"MorphNet step and after each: {', '.join(steps)}; the last step that brought a better "
        f"one: {', '.join(map(str, last))} (seed by seed)."
    )


STUDY = Study(
    name="long_run",
    figure="figure 6.20",
    question="Do many rounds go on improving the network?",
    variants=variants,
    answer=answer,
    draw=trajectories,
    seeds={"quick": 1, "laptop": 1, "thesis": 3},
)

if __name__ == "__main__":
    STUDY.command()()
