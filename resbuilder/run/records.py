"""Check that the entries of a journal are consistent, to find the line of a damaged one."""

from __future__ import annotations

from resbuilder.run.entry import Entry
from resbuilder.run.events import (
    INSERTION,
    RACE_ORIGINS,
    START,
    ArchitectureEvent,
    BreakDownEvent,
    EvaluationEvent,
    Event,
    FinishedEvent,
    MorphNetEvent,
    RemovalEvent,
    SelectionEvent,
    TrainingEvent,
)
from resbuilder.variants import NO_REG_WI, WITH_REG

# The training from whose weights another one starts.
_AFTER = {NO_REG_WI: WITH_REG}


class RecordChecks:
    """Checks the entries of a journal one after the other; unknown events are accepted."""

    def __init__(self):
        self._keys: set[str] = set()
        self._blocks: list[set[str]] = []
        self._trained: set[tuple[int, str]] = set()

    def check(self, entry: Entry) -> None:
        """Check the next entry.

        Raises:
            ValueError: If it contradicts those before it.
        """
        if entry.key in self._keys:
            raise ValueError(f"the step {entry.key!r} appears twice")
        self._follow(entry.event)
        self._keys.add(entry.key)

    def _follow(self, event: Event) -> None:
        """Check that what an event refers to exists."""
        match event:
            case ArchitectureEvent():
                self._grow(event)
            case TrainingEvent(index=index, variant=variant):
                self._check_exists(index)
                before = _AFTER.get(variant)
                if before and (index, before) not in self._trained:
                    raise ValueError(f"architecture {index} has no training {before} before it")
                self._trained.add((index, variant))
            case RemovalEvent(index=index, removed=removed):
                self._check_exists(index)
                if unknown := set(removed) - self._blocks[index]:
                    raise ValueError(f"architecture {index} has no block {_listed(unknown)}")
            case MorphNetEvent(index=index):
                self._check_exists(index)
                if missing := event.widths_before.keys() - event.alive.keys():
                    raise ValueError(f"'alive' lacks {_listed(missing)}")
            case SelectionEvent():
                self._select(event)
            case EvaluationEvent(index=index) | BreakDownEvent(index=index):
                self._check_exists(index)
            case FinishedEvent():
                self._end(event)

    def _check_exists(self, index: int) -> None:
        if index >= len(self._blocks):
            raise ValueError(f"its architecture {index} does not exist")

    def _grow(self, event: ArchitectureEvent) -> None:
        known, parent, origin = len(self._blocks), event.parent, event.origin
        if event.index != known:
            raise ValueError(f"'index' is {event.index}, but should be {known}")
        if (parent is None) != (origin in (START, *RACE_ORIGINS)) or (
            parent is not None and parent >= known
        ):
            raise ValueError(f"'parent' is {parent}, which is impossible for {origin!r}")
        if origin == INSERTION and event.position is None:
            raise ValueError(f"'position' is null, which is impossible for {origin!r}")
        blocks = {block.name for block in event.architecture.blocks}
        if unknown := set(event.inserted) - blocks:
            raise ValueError(f"its architecture has no block {_listed(unknown)}")
        self._blocks.append(blocks)

    def _select(self, event: SelectionEvent) -> None:
        if len(event.losses) != len(event.indices):
            raise ValueError("'indices' and 'losses' differ in length")
        if untrained := [i for i in event.indices if (i, event.after) not in self._trained]:
            raise ValueError(f"architecture {untrained[0]} has no training {event.after} before it")
        if unknown := sorted(set(event.kept) - set(event.indices)):
            raise ValueError(f"architecture {unknown[0]} is kept, but was not in the trial")

    def _end(self, event: FinishedEvent) -> None:
        if event.confusion and len(event.confusion) != len(event.class_names):
            raise ValueError("'confusion' and 'class_names' have different numbers of classes")
        for name, winner in (("best", event.best), ("best_any_size", event.best_any_size)):
            if winner and (winner.index, winner.variant) not in self._trained:
                raise ValueError(f"{name!r} is a training that does not exist")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
