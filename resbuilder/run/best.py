"""Find the best training of a run so far."""

from __future__ import annotations

from collections.abc import Iterable

from resbuilder.run.events import ArchitectureEvent, Event, TrainingEvent
from resbuilder.variants import FINAL


def best_training(events: Iterable[Event], flops: float | None) -> TrainingEvent | None:
    """Return the best training of a journal by validation accuracy.

    Only trainings whose networks can be the result count: those without MorphNet and LayerLasso,
    and in a race those whose learning rate has fallen to 0. Ties go to the network with fewer
    FLOPs, then to the earlier training.

    Args:
        events: All events, in the order of the journal.
        flops: The FLOPs budget; architectures above it do not count. None for no budget.

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
