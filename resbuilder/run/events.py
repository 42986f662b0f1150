"""What a search writes into its journal: one class for each kind of event.

The fields of a class are those of the JSON object, with the same names and in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from resbuilder.architecture import Architecture
from resbuilder.run.decode import Check, Whole, decode, encode
from resbuilder.variants import RACE_VARIANTS, VARIANTS

THESIS_ORIGINS = ("start", "insertion", "removal", "morphnet")
START, INSERTION, REMOVAL, MORPHNET = THESIS_ORIGINS
CANDIDATE, CONTENDER = RACE_ORIGINS = ("candidate", "contender")
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
    """How good a network is on a part of the data; None where that was not finite.

    Attributes:
        accuracy: Share of the images that it recognizes, in 0..1.
        loss: Cross-entropy.
        balanced_accuracy: Mean of that share over the classes; None also where it was not measured,
            as in the first runs, and then not in the journal.
    """

    accuracy: float | None
    loss: float | None
    balanced_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        found = vars(self).items()
        return {k: v for k, v in found if k != "balanced_accuracy" or v is not None}


@dataclass(frozen=True)
class Place:
    """Where a block is: index of the stage, and index among its blocks."""

    stage: Whole
    position: Whole


@dataclass(frozen=True)
class BlockPlace(Place):
    """Where a block is, also among all convolutions: 0 is the stem, 1 the last."""

    relative: float


@dataclass(frozen=True)
class Winner:
    """The best training of a search.

    Attributes:
        index: Number of its architecture.
        variant: ``"no_reg_wi"`` or ``"no_reg_ri"``; of a race ``"cooldown"`` or ``"whole"``.
        accuracy_validation: Accuracy in 0..1 on validation data, by which it was chosen.
        accuracy_test: Accuracy in 0..1 on test data; None if it was not finite.
    """

    index: Whole
    variant: Variant
    accuracy_validation: float
    accuracy_test: float | None


class Event:
    """An event of a journal; ``name`` is what the journal calls its kind."""

    name: str

    def __init_subclass__(cls, name: str | None = None):
        if name is not None:
            cls.name = name
            KINDS[name] = cls

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {key: encode(value) for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the event that :meth:`to_json` wrote; fields that are not known are ignored.

        Raises:
            ValueError: If a field is missing or is not what it should be.
        """
        return decode(cls, data)


#: The class of each kind, by the name that the journal has for it.
KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class DataEvent(Event, name="data"):
    """The images of the search: shapes of both parts, and a hash of labels and some images."""

    train: tuple[Whole, ...]
    test: tuple[Whole, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ArchitectureEvent(Event, name="architecture"):
    """A new architecture.

    Attributes:
        index: Number of the architecture in the search, from 0.
        round: MorphNet round it belongs to.
        origin: ``"start"``, ``"insertion"``, ``"removal"`` or ``"morphnet"``; what takes part in a
            race is an :class:`EntrantEvent`.
        parent: Index of the architecture it was made from; None for the start.
        inserted: Names of the blocks it has and its parent has not.
        removed: Names of the blocks its parent has and it has not.
        position: Where a block was inserted, else None.
        architecture: The network.
        flops: For one image, 2 for each multiply-add.
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
    """A network that takes part in a race, or is compared with it.

    Attributes:
        label: What it is called, such as ``"s1p+ 0111"`` or ``"resnet-20"``.
    """

    label: str


@dataclass(frozen=True, kw_only=True)
class HalvingEvent(Event, name="halving"):
    """Who goes on after a rung of a race.

    Attributes:
        rung: Number of the rung, from 0.
        indices: The architectures in it.
        losses: Validation cross-entropy of each; None where it was not finite.
        kept: Those that go on, the best first.
    """

    rung: Whole
    indices: tuple[Whole, ...]
    losses: tuple[float | None, ...]
    kept: tuple[Whole, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingEvent(Event, name="training"):
    """One training of an architecture.

    Attributes:
        index: Number of the architecture.
        variant: Which of its trainings: a key of :data:`resbuilder.variants.VARIANTS`, or of
            :data:`resbuilder.variants.RACE_VARIANTS`.
        epochs: Epochs that were trained.
        seconds: Time that the epochs took.
        finite: Whether losses and weights stayed finite.
        history: Loss and accuracy by epoch, on training and (``val_…``) on validation data.
        validation: Result on validation data.
        test: Result on test data; without values after a rung, which test data do not see.
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
    """How good an architecture is as a removal left it."""

    index: Whole
    validation: Scores
    test: Scores


@dataclass(frozen=True, kw_only=True)
class RemovalEvent(Event, name="removal"):
    """Which blocks LayerLasso removes.

    Attributes:
        index: Number of the architecture that was judged.
        values: Of each block the smaller statistic of |w| of its convolutions.
        positions: Of each block where it is.
        threshold: τ_Λ, below which a block is removed.
        gain: What the last insertion changed of the validation accuracy; None without insertion.
        kept_by_momentum: Whether blocks below the threshold stay because the gain was large.
        removed: Names of the blocks that go.
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
    """A MorphNet step; it is a :class:`MorphNetStep` unless the network broke down.

    Attributes:
        round: MorphNet round, from 0.
        index: Number of the architecture that was judged.
        alive: Alive channels of each convolution.
        widths_before: Channels of each convolution.
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
    """A MorphNet step and the network that it left.

    Attributes:
        widths_shrunk: Channels of each convolution that is left, the alive ones.
        widths_after: Channels of each after scaling to the budget.
        flops_shrunk: FLOPs with the alive channels alone.
        flops_after: FLOPs after scaling.
        kappa: Factor of the scaling.
        removed_blocks: Names of the blocks without alive channels.
        channels: For each channel of a convolution of the result which old one it is, or -1.
        result: The network.
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
    """No place was left in a round where a block would make a new architecture."""

    round: Whole


@dataclass(frozen=True, kw_only=True)
class BreakDownEvent(Event, name="breakdown"):
    """Regularization ended the search early: at which architecture, and why."""

    index: Whole
    reason: str


@dataclass(frozen=True, kw_only=True)
class FinishedEvent(Event, name="finished"):
    """The end of a search.

    Attributes:
        reason: Why it ended.
        seconds: Time in all trainings.
        best: The best network within the budget, if one was trained.
        best_any_size: The best network of any size.
        confusion: Test images by true (row) and predicted class, of the best network.
        class_names: Names of the classes.
    """

    reason: str
    seconds: float
    best: Winner | None
    best_any_size: Winner | None
    confusion: Counts | None
    class_names: Names
