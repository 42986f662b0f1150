"""A run folder, its journal with the events in it, and the best training of a run."""

from resbuilder.run.beginning import check_beginning, check_same_data
from resbuilder.run.best import best_training
from resbuilder.run.data import read_data
from resbuilder.run.entry import Entry, UnknownEvent
from resbuilder.run.environment import read_environment
from resbuilder.run.events import (
    ArchitectureEvent,
    BlockPlace,
    BreakDownEvent,
    DataEvent,
    EntrantEvent,
    EvaluationEvent,
    Event,
    ExhaustedEvent,
    FinishedEvent,
    MorphNetEvent,
    MorphNetStep,
    Place,
    RemovalEvent,
    Scores,
    SelectionEvent,
    TrainingEvent,
    Winner,
)
from resbuilder.run.folder import (
    BEST_MODEL,
    Run,
    RunFolder,
    place_of,
    read_config,
)
from resbuilder.run.journal import Journal, read_journal

__all__ = [
    "BEST_MODEL",
    "ArchitectureEvent",
    "BlockPlace",
    "BreakDownEvent",
    "DataEvent",
    "EntrantEvent",
    "Entry",
    "EvaluationEvent",
    "Event",
    "ExhaustedEvent",
    "FinishedEvent",
    "Journal",
    "MorphNetEvent",
    "MorphNetStep",
    "Place",
    "RemovalEvent",
    "SelectionEvent",
    "Run",
    "RunFolder",
    "Scores",
    "TrainingEvent",
    "UnknownEvent",
    "Winner",
    "best_training",
    "check_beginning",
    "check_same_data",
    "place_of",
    "read_config",
    "read_data",
    "read_environment",
    "read_journal",
]
