"""A search as a job, and what the studies read from its journal.

Studies share a folder of searches, so a search that several studies need is done once.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.resbuilder.columns import SEARCH, measure_column
from resbuilder.variants import WITH_REG

if TYPE_CHECKING:
    from resbuilder.report import History, Record
    from resbuilder.run import MorphNetStep


def measure_variant(job: dict, searches: Path) -> dict:
    """Search, or train a given network.

    Args:
        job: As for :func:`experiments.resbuilder.columns.measure_column`.
        searches: Folder of run folders, which other studies may share.

    Returns:
        The result of ``measure_column``, and for a search also that of :func:`details`.
    """
    from filelock import FileLock

    from resbuilder.report import read_history

    name = f"{job['column']}_seed{job['settings']['seed']}"
    searches.mkdir(parents=True, exist_ok=True)
    # Two studies that run at the same time may need the same search.
    with FileLock(searches / f"{name}.lock"):
        result = measure_column(job, searches)
    return result | (details(read_history(searches / name)) if job["kind"] == SEARCH else {})


def details(history: History) -> dict:
    """Return what happened in a search.

    Returns:
        ``start``: number of blocks of each stage at the start.
        ``trained``: for each trained architecture, its ``round``, ``flops``, ``depth``, and the
        accuracies of the No-Reg training that is better on validation.
        ``insertions``: ``stage``, and the gain in With-Reg validation accuracy after the ``first``
        epoch and at the ``end``.
        ``judged``: the verdicts of LayerLasso.
        ``removals``: ``by`` LayerLasso or MorphNet (if no inner channel is alive), and ``stage``.
        ``costs``: validation accuracy that each removal by LayerLasso cost the current network.
        ``steps``: for each MorphNet step, the inner channels (``inner``, ``inner_alive``), and
        FLOPs ``before``, ``shrunk`` and ``after``.
    """
    from resbuilder.report.removals_plot import judgments
    from resbuilder.run import MorphNetStep

    records = history.records
    return {
        "start": [len(stage.blocks) for stage in records[0].architecture.stages],
        "trained": [_trained(history, r) for r in records.values() if r.trainings],
        "insertions": [_insertion(history, r) for r in records.values() if r.origin == "insertion"],
        "judged": [asdict(judgment) for judgment in judgments(history)],
        "removals": [
            {"by": "MorphNet" if r.origin == "morphnet" else "LayerLasso", "stage": stage}
            for r in records.values()
            for stage in _stages_of(r.removed, records.get(r.parent))
        ],
        "costs": [
            records[r.parent].accuracy(WITH_REG) - r.accuracy(None)
            for r in records.values()
            if r.origin == "removal"
        ],
        "steps": [_step(step) for step in history.of(MorphNetStep)],
    }


def _trained(history: History, record: Record) -> dict:
    best = history.chosen(record)
    return {
        "round": record.round,
        "flops": record.flops,
        "depth": record.depth,
        "validation": best and best.validation,
        "test": best and best.test,
    }


def _insertion(history: History, record: Record) -> dict:
    parent = history.records[record.parent]
    # A network right after a removal is not trained; its predecessor's training counts.
    while not parent.trainings:
        parent = history.records[parent.parent]
    before = parent.accuracy(WITH_REG)
    epochs = record.trainings[WITH_REG].history["val_accuracy"]
    return {
        "stage": record.position.stage,
        "first": epochs[0] - before,
        "end": record.accuracy(WITH_REG) - before,
    }


def _stages_of(removed: tuple[str, ...], parent: Record | None) -> list[int]:
    stages = parent.architecture.stages if removed else ()
    return [i for i, stage in enumerate(stages) for block in stage.blocks if block.name in removed]


def _step(step: MorphNetStep) -> dict:
    inner = [name for name in step.widths_before if name.endswith("_conv1")]
    return {
        "inner": sum(step.widths_before[name] for name in inner),
        "inner_alive": sum(step.alive[name] for name in inner),
        "before": step.flops_before,
        "shrunk": step.flops_shrunk,
        "after": step.flops_after,
    }
