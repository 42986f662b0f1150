"""The main finding of a report, in one sentence."""

from __future__ import annotations

import math

from resbuilder.common.words import count
from survival.metrics import Interval
from survival.metrics.bootstrap import FEWEST_EVENTS
from survival.report.discrimination import Line, Table
from survival.report.style import number

# Measures of the order of the scores; the first that can be computed is used.
_MEASURES = {"uno": "Uno's C", "harrell": "Harrell's C"}


def finding(table: Table, datasets: list[str]) -> str:
    """Return a sentence that says on which datasets the order of patients is better than chance.

    It is, if the whole 95 % interval of Uno's C (or else Harrell's C) is above 0.5.

    Args:
        table: The leading table, by patient.
        datasets: Names of the lines that are datasets.

    Returns:
        The sentence.
    """
    said, before = [], ""
    for line in table.lines:
        if line.name in datasets:
            verdict, where = _verdict(line)
            said.append(where if verdict == before else f"{verdict} {where}")
            before = verdict
    *others, last = said
    joined = f"{', '.join(others)} and {last}" if others else last
    return f"The order of patients by risk score {joined}."


def _verdict(line: Line) -> tuple[str, str]:
    """Return the verdict, and the dataset with the measure or the reason."""
    measure = next((key for key in _MEASURES if key in line.scores), None)
    if measure is None:
        return "cannot be evaluated", f"on {line.name} (see below)"
    score = line.scores[measure]
    if math.isnan(score.low):
        if line.events < FEWEST_EVENTS:
            why = f"{count(line.events, 'patient')} with the event, fewer than {FEWEST_EVENTS}"
        else:
            why = (
                f"of {line.events} events, fewer than {FEWEST_EVENTS} are within the follow-up of "
                "the training patients"
            )
        return "cannot be evaluated", f"on {line.name} ({why})"
    value, low, high = (number(v) for v in (score.value, score.low, score.high))
    said = f"({_MEASURES[measure]} {value}, 95 % interval {low} to {high})"
    return _compared_with_chance(score), f"on {line.name} {said}"


def _compared_with_chance(score: Interval) -> str:
    if score.low > 0.5:
        return "is better than chance"
    return "is reversed" if score.high < 0.5 else "is not distinguishable from chance"
