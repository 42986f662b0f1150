"""The printed cells of Tables 3.1 and 3.2 next to our measurements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.measuring import stored
from experiments.phs.rows import (
    AFTER,
    MOST_EPOCHS,
    SGD_LOSS,
    TRAINING_IMAGES,
    Row,
    job_dynamics,
    rows,
    sgd_epochs,
)
from experiments.phs.summary import accuracies, signed
from experiments.summary import percent_spread

MEANINGS = {
    "final": "last epoch",
    "by_validation": "chosen by validation",
    "best": "best epoch",
}


# The columns of :func:`rows_table`.
COLUMNS = {
    "α, γ, m": "time step, friction (a rate) and mass; SGD has only a step",
    "brake at loss, factor": "the average training loss at which the optimizer brakes, and the "
    "factor on the friction",
    "thesis": "the printed test accuracy, in %",
    "last epoch, chosen by validation, best epoch": "our test accuracy in %, after the last epoch, "
    "after the epoch with the best validation accuracy, and after the epoch that is best on test "
    "data, which a user cannot choose; each with its difference from the thesis, in points",
    "brakes in epoch": "mean over seeds, or how many seeds reached the loss",
    "epochs": "length of a training; a row without braking is as long as the row below it; SGD is "
    f"shown up to {AFTER} epochs after its training loss reached that of the best braked rows",
    "seeds": "number of trainings; with several, mean ± standard deviation",
}


@dataclass
class Measured:
    """A printed row and its trainings.

    Attributes:
        row: What the thesis prints.
        batch_size: Images in a step.
        histories: One for each seed. A row without braking is as long as its braked row.
        brakes: Epoch of braking by seed, None if the goal was not reached; empty for a row
            without braking.
        lowest: Lowest average training loss before braking, by seed; None after too few steps.
        missing: Why the row has no training; empty if it has one.
    """

    row: Row
    batch_size: int = 128
    histories: list[list[dict]] = field(default_factory=list)
    brakes: list[float | None] = field(default_factory=list)
    lowest: list[float | None] = field(default_factory=list)
    missing: str = ""

    def accuracy(self, meaning: str) -> list[float]:
        """Return the test accuracy of each seed, as a fraction."""
        return [accuracies(history)[meaning] for history in self.histories]

    @property
    def epochs(self) -> float:
        """Return the mean number of epochs."""
        return float(np.mean([history[-1]["epoch"] for history in self.histories]))


def measured_rows(dataset: str, results: Sequence[dict]) -> list[Measured]:
    """Return every printed row of a dataset in the printed order, then those at other batch sizes.

    A row without braking and the braked row that follows it are trainings of the same seed. Both
    are shown at the epochs at which both were evaluated: they have the same length, and the same
    epochs to choose from. If the one without braking ends before, because its loss is not a number
    any more, the braked one is shown whole.
    """
    sizes = sorted({128} | {result["job"]["batch_size"] for result in results}, reverse=True)
    found = []
    for size in sizes:
        of_size = [result for result in results if result["job"]["batch_size"] == size]
        found += [m for m in _of_size(dataset, of_size, size) if size == 128 or m.histories]
    return found


def _of_size(dataset: str, results: Sequence[dict], batch_size: int) -> Iterator[Measured]:
    printed = rows(dataset)
    for row, following in zip(printed, [*printed[1:], None], strict=True):
        measured = Measured(row, batch_size)
        braked_row = following if row.optimizer == "PHS" else row
        for result in results:
            if job_dynamics(result["job"]) == row.dynamics:
                _add(measured, result, braked_row)
        if not measured.histories:
            measured.missing = _reason(row)
        yield measured


def _add(measured: Measured, result: dict, braked_row: Row | None) -> None:
    if measured.row.optimizer == "SGD":
        history, goal = result["history"], SGD_LOSS[measured.row.dataset]
        below = [e["epoch"] for e in history if e["loss"] is not None and e["loss"] <= goal]
        reached = min(below, default=math.inf)
        # It may have been trained for longer, because this epoch was only estimated before.
        measured.histories.append([e for e in history if e["epoch"] <= reached + AFTER])
        return
    braked = next(
        run
        for run in result["braked"]
        if (run["target"], run["factor"]) == (braked_row.goal, braked_row.factor)
    )
    free = _epochs(result["unbraked"])
    shown = _epochs(braked["history"]) & free
    goal_oriented = measured.row.optimizer == "goal-oriented"
    if goal_oriented:
        shown |= {epoch for epoch in _epochs(braked["history"]) if epoch > max(free)}
    history = braked["history"] if goal_oriented else result["unbraked"]
    measured.histories.append([entry for entry in history if entry["epoch"] in shown])
    if goal_oriented:
        measured.brakes.append(braked["epoch"])
        measured.lowest.append(braked["lowest"])


def _epochs(history: list[dict]) -> set[int]:
    return {entry["epoch"] for entry in history}


def _reason(row: Row) -> str:
    """Return why a row has no training."""
    if row.optimizer == "SGD":
        steps = TRAINING_IMAGES[row.dataset] // 128
        needed = sgd_epochs(row, steps)
        state = "out of reach" if needed > MOST_EPOCHS else "not measured yet"
        return f"{state}: about {round(needed, -2):,} epochs at batches of 128"
    return "not measured yet"


def rows_table(measured: Sequence[Measured]) -> str:
    """Return the table of cells: test accuracy in percent, mean ± standard deviation over seeds."""
    lines = [
        "| | α | optimizer | γ | m | brake at loss | factor | thesis | "
        + " | ".join(f"{name} | {name} − thesis" for name in MEANINGS.values())
        + " | brakes in epoch | epochs | seeds |",
        "|---" * (11 + 2 * len(MEANINGS)) + "|",
    ]
    for number, m in enumerate(measured, start=1):
        row = m.row
        settings = [row.friction, row.mass, row.goal, row.factor]
        name = row.optimizer + ("" if m.batch_size == 128 else f", batches of {m.batch_size}")
        start = [
            f"{row.learning_rate:g}",
            name,
            *(f"{value:g}" if value is not None else "" for value in settings),
            f"{100 * row.accuracy:.2f}",
        ]
        if m.histories:
            cells = []
            for meaning in MEANINGS:
                values = np.array(m.accuracy(meaning))
                cells += [percent_spread(values), signed([np.mean(values) - row.accuracy])]
            cells += [_when(m), f"{m.epochs:.0f}", str(len(m.histories))]
        else:
            cells = [m.missing, *[""] * (2 * len(MEANINGS) + 2)]
        lines.append(f"| {number} | {' | '.join([*start, *cells])} |")
    return "\n".join(lines) + "\n"


def _when(m: Measured) -> str:
    reached = [epoch for epoch in m.brakes if epoch is not None]
    if not m.brakes:
        return ""
    if len(reached) < len(m.brakes):
        lowest = ", ".join("–" if value is None else f"{value:.3g}" for value in m.lowest)
        return f"{len(reached)} of {len(m.brakes)} seeds (lowest average loss {lowest})"
    return f"{np.mean(reached):.1f}"


def pairs(measured: Sequence[Measured]) -> Iterator[tuple[Measured, Measured]]:
    """Yield each row without braking with the braked row that follows it, both measured."""
    for free, braked in zip(measured, measured[1:], strict=False):
        if braked.row.optimizer == "goal-oriented" and free.histories and braked.histories:
            yield free, braked


def pairs_in(path: Path) -> list[tuple[Measured, Measured]]:
    """Return the :func:`pairs` of a table's results file, at batches of 128 alone.

    Args:
        path: ``fashion_mnist.json`` or ``cifar10.json``. If it is missing, the list is empty.
    """
    results = stored(path) if path.is_file() else []
    results = [result for result in results if result["job"]["batch_size"] == 128]
    return list(pairs(measured_rows(path.stem, results)))


def gains_table(measured: Sequence[Measured]) -> str:
    """Return the gain by braking in points: the thesis' difference, and ours paired by seed."""
    if not any(pairs(measured)):
        return ""
    lines = [
        "What braking gains, in points; paired by seed, at the same number of epochs:\n",
        f"| α | γ | m | brake at loss | factor | thesis | {' | '.join(MEANINGS.values())} |",
        "|---" * (6 + len(MEANINGS)) + "|",
    ]
    for free, braked in pairs(measured):
        row = braked.row
        size = "" if braked.batch_size == 128 else f" (batches of {braked.batch_size})"
        gains = [
            signed(np.subtract(braked.accuracy(meaning), free.accuracy(meaning)))
            for meaning in MEANINGS
        ]
        lines.append(
            f"| {row.learning_rate:g} | {row.friction:g} | {row.mass:g} | {row.goal:g} "
            f"| {row.factor:g}{size} | {signed([row.accuracy - free.row.accuracy])} "
            f"| {' | '.join(gains)} |"
        )
    return "\n".join(lines) + "\n"
