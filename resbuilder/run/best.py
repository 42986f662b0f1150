"""Which training of a run is the best so far."""

from __future__ import annotations

from collections.abc import Iterable

from resbuilder.run.events import ArchitectureEvent, Event, TrainingEvent
from resbuilder.variants import FINAL


def best_training(events: Iterable[Event], flops: float | None) -> TrainingEvent | None:
    """Return the best training of a journal by validation accuracy.

    Only trainings whose networks may be the result count: those without regularization terms, and
    in a race those that have ended with a rate of 0.

    Among equals the smaller network wins, then the earlier training.

    Args:
        events: Of all kinds, in the order of the journal.
        flops: The budget; architectures above it do not count. None: any size.

    Returns:
        The training, or None if there is none.
    """
    sizes: dict[int, int] = {}
    best, best_rank = None, (-1.0, 0)
    for event in events:
        if isinstance(event, ArchitectureEvent):
            sizes[event.index] = event.flops
        elif isinstance(event, TrainingEvent) and event.variant in FINAL:
            size, accuracy = sizes[event.index], event.validation.accuracy
            if not event.finite or accuracy is None or (flops is not None and size > flops):
                continue
            rank = (accuracy, -size)
            if best is None or rank > best_rank:
                best, best_rank = event, rank
    return best
