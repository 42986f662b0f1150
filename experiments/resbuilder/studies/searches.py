"""A search as a job, and what the studies read in its journal.

Studies share a folder of searches: one that several of them look at is done once.
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
    """Searches, or trains a given network.

    Args:
        job: As :func:`experiments.resbuilder.columns.measure_column` takes it.
        searches: Folder of run folders, which other studies may share.

    Returns:
        What ``measure_column`` says, and of a search what :func:`details` says.
    """
    from filelock import FileLock

    from resbuilder.report import read_history

    name = f"{job['column']}_seed{job['settings']['seed']}"
    searches.mkdir(parents=True, exist_ok=True)
    # Two studies that are measured at the same time may want the same search.
    with FileLock(searches / f"{name}.lock"):
        result = measure_column(job, searches)
    return result | (details(read_history(searches / name)) if job["kind"] == SEARCH else {})


def details(history: History) -> dict:
    """What happened in a search.

    Returns:
        ``start``: how many blocks each stage had in the beginning; ``trained``: each trained
        architecture's ``round``, ``flops``, ``depth``, and accuracies of its better No-Reg training
        by validation; ``insertions``: ``stage``, and the ``gain`` in With-Reg validation accuracy
        after the ``first`` epoch and at the ``end``; ``judged``: the verdicts of LayerLasso;
        ``removals``: ``by`` whom (LayerLasso, or MorphNet where no inner channel is alive), from
        which ``stage``; ``costs``: validation accuracy that LayerLasso's removals took from the
        network as it stood, one number each time; ``steps``: of each MorphNet step the inner
        channels (``inner``, ``inner_alive``), and FLOPs ``before``, ``shrunk`` and ``after``.
    """
    from resbuilder.report.removals import judgements
    from resbuilder.run import MorphNetStep

    records = history.records
    return {
        "start": [len(stage.blocks) for stage in records[0].architecture.stages],
        "trained": [_trained(history, r) for r in records.values() if r.trainings],
        "insertions": [_insertion(history, r) for r in records.values() if r.origin == "insertion"],
        "judged": [asdict(judgement) for judgement in judgements(history)],
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
    best = history.best_of(record)
    return {
        "round": record.round,
        "flops": record.flops,
        "depth": record.depth,
        "validation": best and best.validation,
        "test": best and best.test,
    }


def _insertion(history: History, record: Record) -> dict:
    parent = history.records[record.parent]
    # A network as a removal left it was not trained: what counts is the training before.
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
