"""What was found, in one sentence."""

from __future__ import annotations

import math

from resbuilder.common.words import count
from survival.metrics import Interval
from survival.metrics.bootstrap import FEWEST_EVENTS
from survival.report.discrimination import Line, Table
from survival.report.style import number

# What tells whether the order of the risks is right; the first that can be computed is taken.
_MEASURES = {"uno": "Uno's C", "harrell": "Harrell's C"}


def finding(table: Table, datasets: list[str]) -> str:
    """Say on which datasets the order of the risks is better than chance.

    That is the case where the whole 95 % interval of Uno's C lies above 0.5.

    Args:
        table: The leading one, by patient.
        datasets: Those of its lines that are datasets.

    Returns:
        A sentence.
    """
    said, before = [], ""
    for line in table.lines:
        if line.name in datasets:
            verdict, where = _verdict(line)
            said.append(where if verdict == before else f"{verdict} {where}")
            before = verdict
    *others, last = said
    joined = f"{', '.join(others)} and {last}" if others else last
    return f"The order of the risks {joined}."


def _verdict(line: Line) -> tuple[str, str]:
    """What is so, and where."""
    measure = next((key for key in _MEASURES if key in line.scores), None)
    if measure is None:
        return "cannot be judged", f"on {line.name} (see below)"
    score = line.scores[measure]
    if math.isnan(score.low):
        patients = count(line.events, "patient")
        why = f"{patients} with the event, fewer than {FEWEST_EVENTS}"
        return "cannot be judged", f"on {line.name} ({why})"
    value, low, high = (number(v) for v in (score.value, score.low, score.high))
    said = f"({_MEASURES[measure]} {value}, 95 % interval {low} to {high})"
    return _beside_chance(score), f"on {line.name} {said}"


def _beside_chance(score: Interval) -> str:
    if score.low > 0.5:
        return "is better than chance"
    return "is reversed" if score.high < 0.5 else "is not distinguishable from chance"
