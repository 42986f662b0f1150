"""The search's decisions in words, in the order in which they were taken."""

from __future__ import annotations

from resbuilder.report.history import History, finite
from resbuilder.report.style import percent, points, si
from resbuilder.variants import VARIANTS


def decisions(history: History) -> list[dict]:
    """What was decided and why.

    Args:
        history: From :func:`resbuilder.report.read_history`.

    Returns:
        Rows with ``time`` (ISO, UTC), ``kind`` (one word) and ``text``.
    """
    writers = {
        "architecture": _architecture,
        "removal": _removal,
        "morphnet": _morphnet,
        "exhausted": _exhausted,
        "breakdown": _breakdown,
        "finished": _finished,
    }
    rows = []
    for event in history.events:
        if event["event"] == "training" and not event.get("finite", True):
            kind, text = "Warning", _not_finite(event)
        elif event["event"] in writers:
            kind, text = writers[event["event"]](history, event)
        else:
            continue
        rows.append({"time": event.get("time", ""), "kind": kind, "text": text})
    return rows


def _architecture(history: History, event: dict) -> tuple[str, str]:
    size = f"{si(event['flops'])}FLOPs, depth {event['depth']}"
    number, parent = f"#{event['index']}", f"#{event['parent']}"
    if event["origin"] == "start":
        return "Start", f"{number}: the start network, {size}."
    if event["origin"] == "insertion":
        blocks, place = ", ".join(event["inserted"]), event["position"]
        where = f"stage {place['stage']}, position {place['position']}"
        return "Insert", f"{number} is {parent} with {blocks} inserted in {where}: {size}."
    if event["origin"] == "removal":
        return "Remove", f"{number} is {parent} without {', '.join(event['removed'])}: {size}."
    return "Resize", f"{number} is {parent} with the widths that MorphNet gave: {size}."


def _removal(history: History, event: dict) -> tuple[str, str]:
    values = {block: finite(value) for block, value in event["values"].items()}
    known = {block: value for block, value in values.items() if value is not None}
    low = [f"{b} ({v:.2g})" for b, v in known.items() if v < event["threshold"]]
    limit = f"τ_Λ = {event['threshold']:g}"
    if event["removed"]:
        kind, text = "Judge", f"below {limit}, to be removed: {', '.join(low)}."
    elif event["kept_by_momentum"]:
        kind, text = "Momentum", f"below {limit}, but kept by momentum: {', '.join(low)}."
    elif known:
        least = min(known, key=known.get)
        kind = "Judge"
        text = f"nothing to remove; {least} is the weakest block, {known[least]:.2g} ({limit})."
    else:
        kind, text = "Judge", "nothing to remove; there are no blocks."
    gain = finite(event.get("gain"))
    if gain is not None:
        text += f" The insertion changed validation accuracy by {points(gain)}."
    return kind, f"#{event['index']}: {text}"


def _morphnet(history: History, event: dict) -> tuple[str, str]:
    before, alive = (sum(event[key].values()) for key in ("widths_before", "alive"))
    if event["dead"]:
        return "MorphNet", f"#{event['index']}: {alive:,} of {before:,} channels are alive."
    flops = [si(event[f"flops_{when}"]) + "FLOPs" for when in ("before", "shrunk", "after")]
    kappa = finite(event.get("kappa"))
    text = (
        f"#{event['index']}: {alive:,} of {before:,} channels are alive; {flops[0]} shrunk to "
        f"{flops[1]}, then scaled to {flops[2]}"
    )
    text += "." if kappa is None else f" (κ = {kappa:.3g})."
    if event.get("removed_blocks"):
        text += f" Blocks without channels left out: {', '.join(event['removed_blocks'])}."
    return "MorphNet", text


def _exhausted(history: History, event: dict) -> tuple[str, str]:
    return "Exhausted", f"Round {event['round']}: no new place for a block is left."


def _breakdown(history: History, event: dict) -> tuple[str, str]:
    return "Break-down", f"#{event['index']}: {event['reason']}."


def _finished(history: History, event: dict) -> tuple[str, str]:
    best = history.best()
    if best is None:
        return "Finished", f"{event['reason']}; no network within the budget was trained."
    text = f"{event['reason']}; best {best.label}, {percent(best.validation)} on validation data."
    return "Finished", text


def _not_finite(event: dict) -> str:
    variant = VARIANTS.get(event["variant"], event["variant"])
    return f"#{event['index']} {variant}: the loss was not finite; this training does not count."
