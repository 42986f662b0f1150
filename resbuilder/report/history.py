"""Read a run folder into the records that figures, page and tables share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from resbuilder.config import RACE, THESIS
from resbuilder.run import (
    ArchitectureEvent,
    BreakDownEvent,
    Entry,
    EvaluationEvent,
    Event,
    FinishedEvent,
    Scores,
    TrainingEvent,
    best_training,
    read_config,
    read_data,
    read_environment,
    read_journal,
)
from resbuilder.run.events import MORPHNET, START
from resbuilder.variants import (
    COMBINED,
    COOLDOWN,
    FINAL,
    NO_REG_RI,
    NO_REG_WI,
    RACE_VARIANTS,
    VARIANTS,
    WITH_REG,
)

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True)
class Record(ArchitectureEvent):
    """An architecture of a search with all of its results.

    Attributes:
        trainings: Its trainings by variant.
        evaluation: Its results right after a removal, before further training; otherwise None.
        label: Its name in a race; otherwise empty.
    """

    trainings: dict[str, TrainingEvent]
    evaluation: EvaluationEvent | None
    label: str = ""

    def accuracy(self, variant: str | None, split: str = "validation") -> float | None:
        """Return the accuracy in 0..1; None if it was not measured or not finite.

        Args:
            variant: Variant of the training (:mod:`resbuilder.variants`); None for the results
                right after a removal.
            split: ``"validation"`` or ``"test"``.
        """
        scores = self._scores(variant, split)
        return None if scores is None else scores.accuracy

    def balanced_accuracy(self, variant: str | None, split: str = "validation") -> float | None:
        """Return the balanced accuracy in 0..1; None if it was not measured or not finite.

        Args:
            variant: As for :meth:`accuracy`.
            split: As for :meth:`accuracy`.
        """
        scores = self._scores(variant, split)
        return None if scores is None else scores.balanced_accuracy

    def _scores(self, variant: str | None, split: str) -> Scores | None:
        measured = self.evaluation if variant is None else self.trainings.get(variant)
        # The accuracy of a diverged network is the share of class 0, in journals of version 0.1.0.
        if measured is None or not getattr(measured, "finite", True):
            return None
        return measured.validation if split == "validation" else measured.test

    def score(self, variant: str) -> Score | None:
        """Return the results of a training; None if it diverged, or before it has ended."""
        validation = self.accuracy(variant)
        if validation is None:
            return None
        return Score(self, variant, validation, self.accuracy(variant, "test"))


@dataclass(frozen=True)
class Score:
    """A trained network of a search: an architecture and one of its trainings.

    Attributes:
        record: The architecture.
        variant: Variant of the training.
        validation: Validation accuracy in 0..1.
        test: Test accuracy in 0..1; None if it was not finite.
    """

    record: Record
    variant: str
    validation: float
    test: float | None

    @property
    def label(self) -> str:
        """A short name, such as ``#7 No Reg WI``, or in a race ``#2 s1p+ 0111``."""
        return f"#{self.record.index} {self.record.label or VARIANTS[self.variant]}"

    @property
    def balanced_test(self) -> float | None:
        """Balanced test accuracy in 0..1; None if it was not measured or not finite."""
        return self.record.balanced_accuracy(self.variant, "test")


@dataclass
class History:
    """Everything in a run folder, whether the run is finished or not.

    Attributes:
        run_dir: The folder.
        config: Settings of the search, flat.
        environment: Versions, hardware and command; empty if not recorded.
        entries: The entries of the journal, in order.
        records: Architectures by index, in order.
        notes: Notes on the data and the journal, as sentences for the reader.
    """

    run_dir: Path
    config: dict
    environment: dict
    entries: list[Entry]
    records: dict[int, Record]
    notes: list[str] = field(default_factory=list)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, in order."""
        return _of(kind, self.entries)

    @property
    def finished(self) -> FinishedEvent | None:
        """The last event; None for a run that is not finished."""
        return next(iter(self.of(FinishedEvent)), None)

    @property
    def breakdown(self) -> BreakDownEvent | None:
        """The event that ended the search early, or None."""
        return next(iter(self.of(BreakDownEvent)), None)

    @property
    def is_race(self) -> bool:
        """Whether the method of the search is ``"race"``; early runs do not record the method."""
        return self.config.get("method", THESIS) == RACE

    @property
    def variants(self) -> dict[str, str]:
        """The names of the trainings of an architecture, by variant."""
        return RACE_VARIANTS if self.is_race else VARIANTS

    def chosen(self, record: Record) -> Score | None:
        """Return an architecture's best network among those that can be the search's result."""
        scores = (record.score(variant) for variant in self.variants if variant in FINAL)
        return max(filter(None, scores), key=lambda s: s.validation, default=None)

    @property
    def budget(self) -> float | None:
        """The FLOPs budget ζ, or None."""
        flops = self.config.get("flops")
        if isinstance(flops, bool) or not isinstance(flops, int | float):
            return None
        return flops if abs(flops) < math.inf else None

    def within_budget(self, record: Record) -> bool:
        """Return whether an architecture is within ζ; between MorphNet steps it may not be."""
        return self.budget is None or record.flops <= self.budget

    def scores(self) -> Iterator[Score]:
        """Yield all trainings with a finite validation accuracy, in order."""
        for record in self.records.values():
            yield from filter(None, map(record.score, self.variants))

    def best(self, any_size: bool = False) -> Score | None:
        """Return the best network so far, by the rule of the search.

        See :func:`resbuilder.run.best_training`.

        Args:
            any_size: Also consider architectures above the budget.

        Returns:
            The best network, or None if there is none.
        """
        events = (entry.event for entry in self.entries)
        training = best_training(events, None if any_size else self.budget)
        if training is None:
            return None
        return self.records[training.index].score(training.variant)

    def epochs_behind(self, score: Score) -> int:
        """Return for how many epochs the weights of a network were trained since they were random.

        With Reg and No Reg WI continue the With-Reg trainings before them, back to the start or to
        the last MorphNet step after which the search trained from scratch. In a race, each training
        continues the one before it. Of a network with several trunks it is the largest number.
        """
        if score.variant == COMBINED:
            trunks = (s for s in self.scores() if s.variant == COOLDOWN)
            return max(map(self.epochs_behind, trunks))
        if self.is_race:
            trainings = score.record.trainings
            order = list(self.variants)
            until = order.index(score.variant) + 1
            return sum(trainings[v].epochs for v in order[:until] if v in trainings)
        epochs = score.record.trainings[score.variant].epochs
        if score.variant == NO_REG_RI:
            return epochs
        if score.variant == NO_REG_WI:
            epochs += score.record.trainings[WITH_REG].epochs
        from_scratch = (START,) if self.config.get("inherit_channels") else (START, MORPHNET)
        record = score.record
        while record.origin not in from_scratch and record.parent is not None:
            record = self.records[record.parent]
            # The result of a removal is not trained itself.
            epochs += record.trainings[WITH_REG].epochs if record.trainings else 0
        return epochs


def read_history(run_dir: str | Path) -> History:
    """Read a run folder, also of a run that is unfinished or was killed.

    Args:
        run_dir: A run folder.

    Returns:
        The parsed :class:`History`.

    Raises:
        ValueError: If this is not the run folder of a search, was written by a newer version, or
            the journal is damaged, other than in its last line.
    """
    run_dir = Path(run_dir)
    config = read_config(run_dir, "search")
    journal = run_dir / "journal.jsonl"
    entries, complete = read_journal(journal)
    history = History(run_dir, config, read_environment(run_dir), entries, _records(entries))
    if journal.exists() and complete < journal.stat().st_size:
        history.notes.append("The last line of the journal is incomplete and was ignored.")
    if (data := read_data(run_dir, required=False)) is not None:
        history.notes += data.notes
    return history


def summary_rows(history: History) -> list[dict]:
    """Return one flat row for each architecture, for tables.

    Args:
        history: From :func:`read_history`.

    Returns:
        Rows with ``index``, ``round``, ``origin`` (in a race with the network's name),
        ``architecture`` (one line), ``flops``, ``parameters``, ``depth``, ``within_budget``, and
        accuracies in 0..1 or None: ``<variant>_validation`` and ``<variant>_test`` for each
        variant; ``removal_validation`` and ``removal_test`` right after a removal; and
        ``balanced_test``, the balanced accuracy of the best network that can be the result.
    """
    rows = []
    for record in history.records.values():
        row = {
            "index": record.index,
            "round": record.round,
            "origin": f"{record.origin} {record.label}".strip(),
            "architecture": str(record.architecture),
            "flops": record.flops,
            "parameters": record.parameters,
            "depth": record.depth,
            "within_budget": history.within_budget(record),
        }
        for key, variant in [*((v, v) for v in history.variants), ("removal", None)]:
            for split in ("validation", "test"):
                row[f"{key}_{split}"] = record.accuracy(variant, split)
        best = history.chosen(record)
        row["balanced_test"] = best and best.balanced_test
        rows.append(row)
    return rows


def _of(kind: type[E], entries: list[Entry]) -> list[E]:
    return [entry.event for entry in entries if isinstance(entry.event, kind)]


def _records(entries: list[Entry]) -> dict[int, Record]:
    trainings, evaluations = _of(TrainingEvent, entries), _of(EvaluationEvent, entries)
    evaluated = {event.index: event for event in evaluations}
    return {
        made.index: Record(
            **vars(made),
            trainings={event.variant: event for event in trainings if event.index == made.index},
            evaluation=evaluated.get(made.index),
        )
        for made in _of(ArchitectureEvent, entries)
    }
