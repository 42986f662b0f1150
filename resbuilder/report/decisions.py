"""Describe the decisions of a search in words, in order."""

from __future__ import annotations

from dataclasses import dataclass

from resbuilder.report.history import History
from resbuilder.report.style import percent, points, si
from resbuilder.run import (
    ArchitectureEvent,
    BreakDownEvent,
    EntrantEvent,
    Event,
    ExhaustedEvent,
    FinishedEvent,
    MorphNetEvent,
    MorphNetStep,
    RemovalEvent,
    SelectionEvent,
    TrainingEvent,
)
from resbuilder.run.events import REMOVAL, START
from resbuilder.variants import RACE_VARIANTS


@dataclass(frozen=True)
class Decision:
    """A decision: its time (ISO, UTC), what kind it is, and what was decided and why."""

    time: str
    kind: str
    text: str


def decisions(history: History) -> list[Decision]:
    """Return the decisions of a search with their reasons, in order.

    Args:
        history: As returned by :func:`resbuilder.report.read_history`.
    """
    described = ((entry.time, _described(history, entry.event)) for entry in history.entries)
    return [Decision(time, *description) for time, description in described if description]


def _described(history: History, event: Event) -> tuple[str, str] | None:
    """Return the kind and text of a decision; None for an event that is not a decision."""
    match event:
        case EntrantEvent():
            return event.origin.capitalize(), f"#{event.index} {event.label}: {_size(event)}."
        case SelectionEvent():
            return RACE_VARIANTS[event.after], _selection(event, history)
        case ArchitectureEvent():
            return _architecture(event)
        case TrainingEvent(finite=False):
            return "Warning", (
                f"#{event.index} {history.variants[event.variant]}: the loss was not finite, so "
                "this training does not count."
            )
        case RemovalEvent():
            return _removal(event, history.config.get("layer_statistic", "mean"))
        case MorphNetEvent():
            return "MorphNet", f"#{event.index}: {_morphnet(event)}"
        case ExhaustedEvent():
            return "Insert", f"Round {event.round + 1}: no positions are left for a new block."
        case BreakDownEvent():
            # A race breaks down as a whole, a search with one network.
            where = "" if history.is_race else f"#{event.index}: "
            return "Early end", f"{where}{event.reason}."
        case FinishedEvent():
            return "Finished", f"{event.reason}; {_best(history)}."
    return None


def _architecture(event: ArchitectureEvent) -> tuple[str, str]:
    size = _size(event)
    number, parent = f"#{event.index}", f"#{event.parent}"
    if event.origin == START:
        return "Start", f"{number}: the start network, {size}."
    if event.position is not None:
        blocks, place = ", ".join(event.inserted), event.position
        where = f"stage {place.stage} at position {place.position}"
        return "Insert", f"{number} is {parent} with {blocks} inserted in {where}: {size}."
    if event.origin == REMOVAL:
        return "Remove", f"{number} is {parent} without {', '.join(event.removed)}: {size}."
    return "Resize", f"{number} is {parent} with the widths from MorphNet: {size}."


def _size(event: ArchitectureEvent) -> str:
    return f"{si(event.flops)}FLOPs, depth {event.depth}"


def _selection(event: SelectionEvent, history: History) -> str:
    def named(indices: tuple[int, ...]) -> str:
        losses = dict(zip(event.indices, event.losses, strict=True))
        return ", ".join(
            f"#{i} {history.records[i].label} "
            + ("(not finite)" if losses[i] is None else f"({losses[i]:.3f})")
            for i in indices
        )

    out = tuple(i for i in event.indices if i not in event.kept)
    together = "" if event.loss is None else f", which is {event.loss:.3f} together"
    text = f"Kept by validation loss{together}: {named(event.kept) or 'none'}"
    return f"{text}; dropped: {named(out)}." if out else f"{text}."


def _removal(event: RemovalEvent, statistic: str) -> tuple[str, str]:
    known = [(value, block) for block, value in event.values.items() if value is not None]
    low = ", ".join(f"{block} ({value:.2g})" for value, block in known if value < event.threshold)
    limit = f"τ_Λ = {event.threshold:g}"
    kind = "LayerLasso"
    if event.removed:
        text = f"to be removed, with {statistic} |w| below {limit}: {low}."
    elif event.kept_by_momentum:
        kind, text = "Momentum", f"kept by momentum, with {statistic} |w| below {limit}: {low}."
    elif known:
        least, weakest = min(known, key=lambda pair: pair[0])
        text = f"nothing to remove; the weakest block is {weakest}, at {least:.2g} ({limit})."
    else:
        text = "nothing to remove; the network has no blocks."
    if event.gain is not None:
        text += f" The insertion changed the validation accuracy by {points(event.gain)}."
    return kind, f"#{event.index}: {text}"


def _morphnet(event: MorphNetEvent) -> str:
    alive, before = sum(event.alive.values()), sum(event.widths_before.values())
    text = f"{alive:,} of {before:,} channels are alive"
    if not isinstance(event, MorphNetStep):
        return f"{text}."
    text += (
        f"; {si(event.flops_before)}FLOPs shrunk to {si(event.flops_shrunk)}FLOPs, then scaled to "
        f"{si(event.flops_after)}FLOPs"
    )
    text += "." if event.kappa is None else f" (κ = {event.kappa:.3g})."
    if event.removed_blocks:
        text += f" Removed blocks with no channels left: {', '.join(event.removed_blocks)}."
    return text


def _best(history: History) -> str:
    best = history.best()
    if best is None:
        return "no network within the budget was trained"
    accuracy = percent(best.validation)
    return f"the best network is {best.label}, with {accuracy} validation accuracy"
