"""Describe the result of a search, and compare it with other networks, in sentences."""

from __future__ import annotations

import math

from resbuilder.report.history import History, Record, Score
from resbuilder.report.race import best_contender, race_winner
from resbuilder.report.style import percent, points, si
from resbuilder.run.events import CONTENDER
from resbuilder.variants import NO_REG_RI, WHOLE

NOT_COMPARED = (
    "No hand-made network was trained for comparison at equal total cost; “--method race "
    "--contenders resnet-20,rb-r18” does so."
)
Z95 = 1.959964  # Two-sided 95 % quantile of the normal distribution.


def finding(history: History, best: Score | None, images: int | None) -> str:
    """Return one sentence about the best network of the search."""
    if best is None:
        return _nothing(history)
    size = f"{si(best.record.flops)}FLOPs per image and {si(best.record.parameters)} parameters"
    right = "an unknown fraction" if best.test is None else percent(best.test)
    of = "the test images" if images is None else f"{images:,} test images"
    text = f"The best network classifies {right} of {of} correctly"
    if (interval := interval_of(best, images)) is not None:
        text += f" (95 % interval {percent(interval[0])} to {percent(interval[1])})"
    return f"{text}, with {size}."


def search_verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Return sentences that compare the best network with the start network."""
    if best is None:
        return [_nothing(history)]
    sentences = []
    start = history.records[0]
    if best.record is start:
        return ["It is the start network: no other within the budget was better.", NOT_COMPARED]
    if (before := history.chosen(start)) is not None:
        sentences.append(
            f"The start network, chosen in the same way ({before.label.partition(' ')[2]}), "
            f"reaches {percent(before.test)} on test data."
        )
    ours, theirs = (_from_scratch(record) for record in (best.record, start))
    if ours is not None and theirs is not None:
        epochs = best.record.trainings[NO_REG_RI].epochs
        sentences.append(
            f"Trained equally long, for {epochs} epochs from random weights (No Reg RI), the best "
            f"architecture reaches {percent(ours)} and the start network {percent(theirs)}, a "
            f"difference of {_difference(ours, theirs, images)}"
        )
    if not history.within_budget(start):
        sentences.append("The start network itself is above the budget.")
    return [*sentences, NOT_COMPARED]


def race_verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Return sentences that compare the winner of the race with the best contender."""
    found, contender = race_winner(history), best_contender(history)
    if best is None:
        return [_nothing(history)]
    if contender is None:
        named = [r for r in history.records.values() if r.origin == CONTENDER]
        if not named:
            return [NOT_COMPARED]
        if all(WHOLE in r.trainings for r in named):
            return ["No comparison is possible, because the training of every contender diverged."]
        return ["No contender has been trained to its end yet."]
    epochs = contender.record.trainings[contender.variant].epochs
    contenders = [r for r in history.records.values() if r.origin == CONTENDER]
    trained = sum(WHOLE in r.trainings for r in contenders)
    so_far = f" among those trained so far ({trained} of {len(contenders)})"
    text = (
        f"The best contender on validation data{'' if trained == len(contenders) else so_far}, "
        f"{contender.record.label}, was trained for all {epochs} epochs that the race had for all "
        "of its candidates, so at equal total cost"
    )
    if found is None:
        race = "itself found no network" if history.breakdown else "has no final network yet"
        return [f"{text}; the race {race}."]
    text += (
        f": on test data, the race's winner reaches {percent(found.test)} and this contender "
        f"{percent(contender.test)}"
    )
    if found.test is None or contender.test is None:
        return [f"{text}."]
    return [f"{text}, a difference of {_difference(found.test, contender.test, images)}"]


def _from_scratch(record: Record) -> float | None:
    """Return the test accuracy after the training from random weights; None if it diverged."""
    score = record.score(NO_REG_RI)
    return None if score is None else score.test


def _nothing(history: History) -> str:
    if history.is_race:
        return f"The race has no final network{'' if history.finished else ' yet'}."
    if any(True for _ in history.scores()):
        return "No network within the budget has been trained."
    return "No network has been trained yet."


def _difference(ours: float, theirs: float, images: int | None) -> str:
    text = points(ours - theirs)
    if images is None:
        return text + "."
    a, b = (wilson(p, images) for p in (ours, theirs))
    apart = a[0] > b[1] or b[0] > a[1]
    return text + (
        ", more than the choice of test images explains (the 95 % intervals do not overlap)."
        if apart
        else ", which the choice of test images may explain (the 95 % intervals overlap)."
    )


def interval_of(best: Score | None, images: int | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy; None if it or the images are unknown."""
    if best is None or best.test is None or images is None:
        return None
    return wilson(best.test, images)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a binomial proportion.

    With proportion p, n trials and quantile z, it is
    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).

    Args:
        share: Observed proportion p, 0..1.
        count: Number of trials n.

    Returns:
        Lower and upper end, always within 0..1.
    """
    scale = 1 + Z95**2 / count
    center = (share + Z95**2 / (2 * count)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / count + (Z95 / (2 * count)) ** 2)
    return max(0.0, center - half), min(1.0, center + half)
