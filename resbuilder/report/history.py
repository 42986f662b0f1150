"""What a run folder says: its journal, read into records that figures, page and tables share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resbuilder.architecture import Architecture
from resbuilder.run import best_training, read_config, read_environment, read_records
from resbuilder.variants import NO_REG_RI, NO_REG_WI, VARIANTS, WITH_REG


@dataclass
class Record:
    """One architecture of a search with everything that was measured on it.

    Attributes:
        index: Number of the architecture in the search, from 0.
        round: MorphNet round it belongs to.
        origin: ``"start"``, ``"insertion"``, ``"removal"`` or ``"morphnet"``.
        parent: Index of the architecture it was made from; None for the start.
        inserted: Names of the blocks it has and its parent has not.
        removed: Names of the blocks its parent has and it has not.
        position: Stage and position of an insertion, else None.
        architecture: The network.
        flops: For one image, 2 for each multiply-add.
        parameters: Trainable parameters.
        activations: Output elements of convolutions and dense head.
        depth: Convolutions on the longest path.
        trainings: ``training`` events by variant.
        evaluation: The ``evaluation`` event of an architecture after a removal, else None.
    """

    index: int
    round: int
    origin: str
    parent: int | None
    inserted: tuple[str, ...]
    removed: tuple[str, ...]
    position: dict | None
    architecture: Architecture
    flops: int
    parameters: int
    activations: int
    depth: int
    trainings: dict[str, dict] = field(default_factory=dict)
    evaluation: dict | None = None

    def accuracy(self, variant: str | None, split: str = "validation") -> float | None:
        """Accuracy in 0..1, or None where it was not measured or not finite.

        Args:
            variant: ``"with_reg"``, ``"no_reg_wi"`` or ``"no_reg_ri"``; None for the network as it
                stood after a removal.
            split: ``"validation"`` or ``"test"``.
        """
        event = self.evaluation if variant is None else self.trainings.get(variant)
        return finite((event or {}).get(split, {}).get("accuracy"))


@dataclass(frozen=True)
class Score:
    """One network of a search: an architecture and the training that gave it its weights."""

    record: Record
    variant: str | None

    @property
    def validation(self) -> float | None:
        """Validation accuracy in 0..1."""
        return self.record.accuracy(self.variant, "validation")

    @property
    def test(self) -> float | None:
        """Test accuracy in 0..1."""
        return self.record.accuracy(self.variant, "test")

    @property
    def label(self) -> str:
        """For instance ``#7 No Reg WI``."""
        return f"#{self.record.index} {VARIANTS.get(self.variant, 'after removal')}"


@dataclass
class History:
    """Everything a run folder records, finished or not.

    Attributes:
        run_dir: The folder.
        config: Settings of the search, flat.
        environment: Versions, hardware, command; empty if the run left none.
        events: The journal's events in order.
        records: Architectures by index, in order.
        notes: What was odd about the folder, as sentences for the reader.
    """

    run_dir: Path
    config: dict
    environment: dict
    events: list[dict]
    records: dict[int, Record] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[dict]:
        """The events of one kind, in order."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def finished(self) -> dict | None:
        """The closing event, or None for a run that is under way or was killed."""
        return (self.of("finished") or [None])[-1]

    @property
    def breakdown(self) -> dict | None:
        """Why regularisation ended the search early, or None."""
        return (self.of("breakdown") or [None])[-1]

    @property
    def budget(self) -> float | None:
        """FLOPs budget ζ."""
        return finite(self.config.get("flops"))

    def within_budget(self, record: Record) -> bool:
        """Whether an architecture respects ζ; between MorphNet steps some do not."""
        return self.budget is None or record.flops <= self.budget

    def scores(self) -> Iterator[Score]:
        """All trainings with a finite validation accuracy, in order."""
        for record in self.records.values():
            for variant in VARIANTS:
                if record.accuracy(variant) is not None:
                    yield Score(record, variant)

    def best_of(self, record: Record) -> Score | None:
        """The better of one architecture's two No Reg trainings on validation data, or None."""
        scores = (Score(record, v) for v in ("no_reg_wi", "no_reg_ri"))
        return max(
            (s for s in scores if s.validation is not None),
            key=lambda s: s.validation,
            default=None,
        )

    def best(self, any_size: bool = False) -> Score | None:
        """The best network by the search's own rule (No Reg, validation, smaller among equals).

        Args:
            any_size: Also consider architectures above the budget.

        Returns:
            The best so far, or None if there is none.
        """
        training = best_training(self.events, None if any_size else self.budget)
        return training and Score(self.records[training["index"]], training["variant"])

    def epochs_behind(self, score: Score) -> int:
        """How many epochs the weights of a network have seen since they were random.

        With Reg and No Reg WI go on from the With-Reg trainings before them, back to the start or
        to the last MorphNet step after which the search trained from scratch.
        """
        epochs = score.record.trainings[score.variant]["epochs"]
        if score.variant == NO_REG_RI:
            return epochs
        if score.variant == NO_REG_WI:
            epochs += score.record.trainings[WITH_REG]["epochs"]
        anew = ("start",) if self.config.get("inherit_channels") else ("start", "morphnet")
        record = score.record
        while record.origin not in anew:
            record = self.records[record.parent]
            # A network as a removal left it was not trained itself.
            epochs += record.trainings[WITH_REG]["epochs"] if record.trainings else 0
        return epochs


def finite(value) -> float | None:
    """The number, or None for null, NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def read_history(run_dir: str | Path) -> History:
    """Read what a run left, also of one that is unfinished or was killed.

    Args:
        run_dir: A run folder.

    Returns:
        The parsed :class:`History`.

    Raises:
        ValueError: If this is not a run folder, was written by a newer version, or the journal is
            damaged elsewhere than in its last line.
    """
    run_dir = Path(run_dir)
    config = read_config(run_dir, "search")
    journal = run_dir / "journal.jsonl"
    events, whole = read_records(journal)
    history = History(run_dir, config, read_environment(run_dir), events)
    if journal.exists() and whole < journal.stat().st_size:
        history.notes.append("The journal's last line was cut off and is left out here.")
    for number, event in enumerate(events, start=1):
        try:
            _take(history, event)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{journal}, line {number}: the {event['event']} event lacks {error}; the file was "
                "changed or damaged"
            ) from None
    return history


def summary_rows(history: History) -> list[dict]:
    """One flat row for each architecture, for tables.

    Args:
        history: From :func:`read_history`.

    Returns:
        Rows with ``index``, ``round``, ``origin``, ``architecture`` (one line), ``flops``,
        ``parameters``, ``depth``, ``within_budget``, and accuracies in 0..1 or None:
        ``<variant>_validation`` and ``<variant>_test`` for each variant, and
        ``removal_validation`` and ``removal_test`` for a network as it stood after a removal.
    """
    rows = []
    for record in history.records.values():
        row = {
            "index": record.index,
            "round": record.round,
            "origin": record.origin,
            "architecture": str(record.architecture),
            "flops": record.flops,
            "parameters": record.parameters,
            "depth": record.depth,
            "within_budget": history.within_budget(record),
        }
        for key, variant in [*((v, v) for v in VARIANTS), ("removal", None)]:
            for split in ("validation", "test"):
                row[f"{key}_{split}"] = record.accuracy(variant, split)
        rows.append(row)
    return rows


def _take(history: History, event: dict) -> None:
    kind = event["event"]
    if kind == "architecture":
        taken = {k: event[k] for k in Record.__dataclass_fields__ if k in event}
        taken["architecture"] = Architecture.from_json(event["architecture"])
        for key in ("inserted", "removed"):
            taken[key] = tuple(event[key])
        history.records[event["index"]] = Record(**taken)
    elif kind == "training":
        history.records[event["index"]].trainings[event["variant"]] = event
    elif kind == "evaluation":
        history.records[event["index"]].evaluation = event
