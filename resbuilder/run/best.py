"""Which training of a run is the best so far."""

from __future__ import annotations

from collections.abc import Iterable

from resbuilder.variants import WITH_REG


def best_training(records: Iterable[dict], flops: float | None) -> dict | None:
    """The best No-Reg training of a journal by validation accuracy.

    Among equals the smaller network wins, then the earlier training.

    Args:
        records: Journal records, of all events.
        flops: The budget; architectures above it do not count. None: any size.

    Returns:
        The training's record, or None if there is none.
    """
    sizes, best, best_rank = {}, None, None
    for record in records:
        if record["event"] == "architecture":
            sizes[record["index"]] = record["flops"]
        elif record["event"] == "training" and record["variant"] != WITH_REG:
            size, accuracy = sizes[record["index"]], record["validation"]["accuracy"]
            if not record["finite"] or accuracy is None or (flops is not None and size > flops):
                continue
            rank = (accuracy, -size)
            if best_rank is None or rank > best_rank:
                best, best_rank = record, rank
    return best
