"""What a search has found, and how it compares, in sentences."""

from __future__ import annotations

import math

from resbuilder.report.history import History, Score
from resbuilder.report.race import best_contender, race_winner
from resbuilder.report.style import percent, points, si
from resbuilder.run.events import CONTENDER
from resbuilder.variants import NO_REG_RI, WHOLE

NOT_COMPARED = (
    "No comparison with a hand-made network at equal total cost was made; “--method race "
    "--contenders resnet-20,rb-r18” makes one."
)
Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution


def finding(history: History, best: Score | None, images: int | None) -> str:
    """Say in one sentence what the search has found."""
    if best is None:
        return _nothing(history)
    size = f"{si(best.record.flops)}FLOPs an image and {si(best.record.parameters)} parameters"
    right = "an unknown share" if best.test is None else percent(best.test)
    of = "the test images" if images is None else f"{images:,} test images"
    text = f"The best network classifies {right} of {of} correctly"
    if (interval := interval_of(best, images)) is not None:
        text += f" (95 % interval {percent(interval[0])} to {percent(interval[1])})"
    return f"{text}, with {size}."


def search_verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Compare the best network with the start network trained equally long, in sentences."""
    if best is None:
        return [_nothing(history)]
    sentences = []
    start = history.records[0]
    if best.record is start:
        return ["That is the start network: no other within the budget was better.", NOT_COMPARED]
    if (before := history.best_of(start)) is not None:
        sentences.append(
            f"The start network, chosen in the same way ({before.label.partition(' ')[2]}), "
            f"reaches {percent(before.test)} on test data."
        )
    ours, theirs = (r.accuracy(NO_REG_RI, "test") for r in (best.record, start))
    if ours is not None and theirs is not None:
        epochs = best.record.trainings[NO_REG_RI].epochs
        sentences.append(
            f"Both trained equally long, {epochs} epochs from random weights (No Reg RI): "
            f"{percent(ours)} against {percent(theirs)} on test data, "
            f"{_difference(ours, theirs, images)}"
        )
    if not history.within_budget(start):
        sentences.append("The start network itself is above the budget.")
    return [*sentences, NOT_COMPARED]


def race_verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Compare what the race found with the best contender at equal total cost, in sentences."""
    found, contender = race_winner(history), best_contender(history)
    if best is None:
        return [_nothing(history)]
    if contender is None:
        named = any(r.origin == CONTENDER for r in history.records.values())
        return ["No contender has been trained to its end yet." if named else NOT_COMPARED]
    epochs = contender.record.trainings[contender.variant].epochs
    there = [r for r in history.records.values() if r.origin == CONTENDER]
    trained = sum(WHOLE in r.trainings for r in there)
    of = f" of the {trained} of {len(there)} contenders trained so far"
    text = (
        f"The best contender on validation data{'' if trained == len(there) else of}, "
        f"{contender.record.label}, was trained for all "
        f"{epochs} epochs that the race had for all of its candidates, so at equal total cost"
    )
    if found is None:
        return [f"{text}; the race itself found nothing."]
    text += f": {percent(found.test)} of the race's winner against {percent(contender.test)}"
    if found.test is None or contender.test is None:
        return [f"{text}."]
    return [f"{text} on test data, {_difference(found.test, contender.test, images)}"]


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
        ", beyond what chance in the test images explains (the 95 % intervals do not overlap)."
        if apart
        else ", within what chance in the test images may explain (the 95 % intervals overlap)."
    )


def interval_of(best: Score | None, images: int | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy; None where it or the images are not known."""
    if best is None or best.test is None or images is None:
        return None
    return wilson(best.test, images)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a binomial proportion.

    Args:
        share: Observed proportion, 0..1.
        count: Number of trials.

    Returns:
        Lower and upper end, within 0..1 also at the extremes.
    """
    scale = 1 + Z95**2 / count
    centre = (share + Z95**2 / (2 * count)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / count + (Z95 / (2 * count)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
