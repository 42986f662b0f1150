"""The events that a search writes to its journal: one class for each kind.

The fields of a class have the same names and order as those of the JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from resbuilder.architecture import Architecture
from resbuilder.run.json_fields import Check, Whole, decode, encode
from resbuilder.variants import RACE_VARIANTS, VARIANTS

THESIS_ORIGINS = ("start", "insertion", "removal", "morphnet")
START, INSERTION, REMOVAL, MORPHNET = THESIS_ORIGINS
RACE_ORIGINS = ("candidate", "contender", "winner")
CANDIDATE, CONTENDER, WINNER = RACE_ORIGINS
ORIGINS = (*THESIS_ORIGINS, *RACE_ORIGINS)
TRAININGS = (*VARIANTS, *RACE_VARIANTS)

Variant = Annotated[str, Check(f"one of {', '.join(TRAININGS)}", lambda v: v in TRAININGS)]
Origin = Annotated[str, Check(f"one of {', '.join(ORIGINS)}", lambda v: v in ORIGINS)]
Names = tuple[str, ...]
Counts = Annotated[
    tuple[tuple[Whole, ...], ...],
    Check("a square table of counts", lambda rows: all(len(row) == len(rows) for row in rows)),
]


@dataclass(frozen=True)
class Scores:
    """Results of a network on a part of the data; a value that was not finite is None.

    Attributes:
        accuracy: Fraction of correctly classified images, in 0..1.
        loss: Cross-entropy.
        balanced_accuracy: Accuracy averaged over the classes, in 0..1. None also if it was not
            measured, as in runs of early versions; then the journal does not have it.
    """

    accuracy: float | None
    loss: float | None
    balanced_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        found = vars(self).items()
        return {k: v for k, v in found if k != "balanced_accuracy" or v is not None}


@dataclass(frozen=True)
class Place:
    """The position of a block: index of the stage, and index among the blocks of the stage."""

    stage: Whole
    position: Whole


@dataclass(frozen=True)
class BlockPlace(Place):
    """The position of a block, also among all convolutions: 0 is the stem, 1 the last one."""

    relative: float


@dataclass(frozen=True)
class Winner:
    """The best training of a search.

    Attributes:
        index: Number of its architecture.
        variant: ``"no_reg_wi"`` or ``"no_reg_ri"``; in a race ``"combined"`` or ``"whole"``.
        accuracy_validation: Accuracy in 0..1 on validation data, by which it was chosen.
        accuracy_test: Accuracy in 0..1 on test data; None if it was not finite.
    """

    index: Whole
    variant: Variant
    accuracy_validation: float
    accuracy_test: float | None


class Event:
    """An event of a journal; ``name`` is the name of its kind in the journal."""

    name: str

    def __init_subclass__(cls, name: str | None = None):
        if name is not None:
            cls.name = name
            KINDS[name] = cls

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        return {key: encode(value) for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the event from the dictionary of :meth:`to_json`; unknown fields are ignored.

        Raises:
            ValueError: If a field is missing or invalid.
        """
        return decode(cls, data)


#: The class of each kind of event, by its name in the journal.
KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class DataEvent(Event, name="data"):
    """What a run began with. Runs of earlier versions lack the last two.

    Attributes:
        train: Shape of the training images, validation images included.
        test: Shape of the test images.
        sha256: Hash of all labels and some images.
        images: Hash of all images.
        settings: Hash of the settings that affect results.
    """

    train: tuple[Whole, ...]
    test: tuple[Whole, ...]
    sha256: str
    images: str | None = None
    settings: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        return {key: value for key, value in super().to_json().items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ArchitectureEvent(Event, name="architecture"):
    """A new architecture.

    Attributes:
        index: Number of the architecture in the search, from 0.
        round: MorphNet round, from 0.
        origin: ``"start"``, ``"insertion"``, ``"removal"`` or ``"morphnet"``. The networks of a
            race are :class:`EntrantEvent` instead.
        parent: Index of the architecture from which it was made; None for the start.
        inserted: Names of the blocks that its parent does not have.
        removed: Names of the blocks that only its parent has.
        position: Where a block was inserted; otherwise None.
        architecture: The architecture.
        flops: FLOPs per image, 2 for each multiply-add.
        parameters: Trainable parameters.
        activations: Output elements of convolutions and dense head.
        depth: Convolutions on the longest path.
    """

    index: Whole
    round: Whole
    origin: Origin
    parent: Whole | None
    inserted: Names
    removed: Names
    position: Place | None
    architecture: Architecture
    flops: Whole
    parameters: Whole
    activations: Whole
    depth: Whole


@dataclass(frozen=True, kw_only=True)
class EntrantEvent(ArchitectureEvent):
    """A candidate or a contender of a race, or its winner, made from candidates.

    Attributes:
        label: Its name, such as ``"s1p+ 0111"``, ``"resnet-20"`` or ``"s1p 111 ∥ s2p+ 011"``.
    """

    label: str


@dataclass(frozen=True, kw_only=True)
class SelectionEvent(Event, name="selection"):
    """The decision which candidates remain after the trial or the cooldown of a race.

    Attributes:
        indices: Numbers of the candidates that were trained.
        losses: Validation cross-entropy of each alone; None if it was not finite.
        kept: Numbers of those that remain, the best first.
        loss: Validation cross-entropy of the mean of their logits; None if none remains.
        after: The variant of the trainings: ``"trial"``, or ``"cooldown"``, after which those that
            remain are the trunks of the final network.
    """

    indices: tuple[Whole, ...]
    losses: tuple[float | None, ...]
    kept: tuple[Whole, ...]
    loss: float | None
    after: Variant


@dataclass(frozen=True, kw_only=True)
class TrainingEvent(Event, name="training"):
    """One training of an architecture.

    Attributes:
        index: Number of the architecture.
        variant: Variant of the training: a key of :data:`resbuilder.variants.VARIANTS` or
            :data:`resbuilder.variants.RACE_VARIANTS`.
        epochs: Number of epochs.
        seconds: Time of all epochs.
        finite: Whether losses and weights stayed finite.
        history: Loss and accuracy by epoch, on training data and (``val_…``) on validation data.
        validation: Results on validation data.
        test: Results on test data; empty after a trial, which is not evaluated on test data.
    """

    index: Whole
    variant: Variant
    epochs: Whole
    seconds: float
    finite: bool
    history: Mapping[str, tuple[float | None, ...]]
    validation: Scores
    test: Scores


@dataclass(frozen=True, kw_only=True)
class EvaluationEvent(Event, name="evaluation"):
    """Results of an architecture right after blocks were removed, without further training."""

    index: Whole
    validation: Scores
    test: Scores


@dataclass(frozen=True, kw_only=True)
class RemovalEvent(Event, name="removal"):
    """The decision which blocks LayerLasso removes.

    Attributes:
        index: Number of the architecture.
        values: For each block, the smaller statistic of |w| of its two convolutions.
        positions: Position of each block.
        threshold: τ_Λ; blocks with a smaller value are removed.
        gain: Change of the validation accuracy by the last insertion; None without an insertion.
        kept_by_momentum: Whether blocks below the threshold stay because the gain was large.
        removed: Names of the removed blocks.
    """

    index: Whole
    values: Mapping[str, float | None]
    positions: Mapping[str, BlockPlace]
    threshold: float
    gain: float | None
    kept_by_momentum: bool
    removed: Names


@dataclass(frozen=True, kw_only=True)
class MorphNetEvent(Event, name="morphnet"):
    """A MorphNet step; a :class:`MorphNetStep` unless no network is left.

    Attributes:
        round: MorphNet round, from 0.
        index: Number of the architecture.
        alive: Number of alive channels of each convolution.
        widths_before: Number of channels of each convolution.
        flops_before: FLOPs of the architecture.
        dead: Why no network is left; None if there is one.
    """

    round: Whole
    index: Whole
    alive: Mapping[str, Whole]
    widths_before: Mapping[str, Whole]
    flops_before: Whole
    dead: str | None


@dataclass(frozen=True, kw_only=True)
class MorphNetStep(MorphNetEvent):
    """A MorphNet step and the resulting network.

    Attributes:
        widths_shrunk: Number of channels of each remaining convolution after shrinking.
        widths_after: Number of channels of each convolution after scaling to the budget.
        flops_shrunk: FLOPs after shrinking.
        flops_after: FLOPs after scaling.
        kappa: Scaling factor of the widths.
        removed_blocks: Names of the blocks without alive channels.
        channels: For each channel of a convolution of the result, the index of the old channel, or
            -1 for a new one.
        result: The resulting architecture.
    """

    widths_shrunk: Mapping[str, Whole]
    widths_after: Mapping[str, Whole]
    flops_shrunk: Whole
    flops_after: Whole
    kappa: float | None
    removed_blocks: Names
    channels: Mapping[str, tuple[int, ...]]
    result: Architecture


@dataclass(frozen=True, kw_only=True)
class ExhaustedEvent(Event, name="exhausted"):
    """No position was left in a round at which a block would give a new architecture."""

    round: Whole


@dataclass(frozen=True, kw_only=True)
class BreakDownEvent(Event, name="breakdown"):
    """The search ended early: at which architecture, and why."""

    index: Whole
    reason: str


@dataclass(frozen=True, kw_only=True)
class FinishedEvent(Event, name="finished"):
    """The end of a search.

    Attributes:
        reason: Why it ended.
        seconds: Time of all trainings.
        best: The best network within the budget; None if none was trained.
        best_any_size: The best network of any size; None if none was trained.
        confusion: Confusion matrix of the best network on test data: rows are true classes,
            columns predicted classes.
        class_names: Names of the classes.
    """

    reason: str
    seconds: float
    best: Winner | None
    best_any_size: Winner | None
    confusion: Counts | None
    class_names: Names
