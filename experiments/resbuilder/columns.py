"""The columns of Table 6.1 and three more baselines, and the measurements of each.

A column's network is given (Res18, ResNet-20, ResNet-18 with a stem for small images) or found by a
search. A network that a search finds is judged twice: with the weights of the search, and by its
architecture alone, trained from scratch. The weights of the search have seen up to n_Λ + 2
trainings (With Reg after a MorphNet step, one more after each insertion, No Reg WI). Therefore
every column's network is trained from scratch for n_Λ + 2 trainings of E epochs each, with an
evaluation after each of them. So the weights of a search can be compared with every other column
at the same number of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.resbuilder.searches import begun
from resbuilder.variants import VARIANTS, WITH_REG

if TYPE_CHECKING:
    from resbuilder import Architecture, SearchConfig
    from resbuilder.report import History
    from resbuilder.training import TrainingData

# Key of the trainings from scratch in stored jobs and results: it must not change.
FROM_SCRATCH = "anew"
AS_IT_IS, SCALED, SEARCH, RANDOM = "network as it is", "network scaled to ζ", "search", "random"


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, the origin of its network, its start and settings."""

    title: str
    kind: str
    start: str
    settings: dict = field(default_factory=dict)


COLUMNS = {
    "res18": Column("Res18", AS_IT_IS, "rb-r18"),
    "morphnet": Column(
        "MorphNet only",
        SEARCH,
        "rb-r18",
        # No weight is below 0, so LayerLasso removes nothing.
        {"insertions": 0, "lambda_layer": 0.0, "tau_layer": 0.0},
    ),
    "rb-r18": Column("RB-R18", SEARCH, "rb-r18"),
    "rb-0net": Column("RB-0Net", SEARCH, "rb-0net"),
    # It is scaled to ζ from any width; 16 is that of He et al. (2016).
    "resnet-20": Column("ResNet-20", SCALED, "resnet-20", {"width": 16}),
    "small-stem": Column("ResNet-18, small stem", SCALED, "rb-r18", {"stem": "small"}),
    "random": Column("random search", RANDOM, "rb-0net"),
}


def column_job(name: str, settings: dict, scaled: bool) -> dict:
    """Return the job of one column and seed.

    Args:
        name: Name of the column.
        settings: Settings of :class:`resbuilder.SearchConfig` that all columns share.
        scaled: Whether Res18 is also scaled to ζ.

    Returns:
        ``column``, ``kind`` and ``settings`` of the column; the number of trainings from scratch;
        ``networks``: how many a random search draws, one for each training of a search.
    """
    column = COLUMNS[name]
    rounds, insertions = settings["rounds"], settings["insertions"]
    return {
        "column": name,
        "kind": SCALED if scaled and column.kind == AS_IT_IS else column.kind,
        "settings": settings | {"start": column.start} | column.settings,
        FROM_SCRATCH: insertions + 2,
        "networks": trainings(rounds, insertions),
    }


def trainings(rounds: int, insertions: int) -> int:
    """Return the number of trainings of a search, unless it ends early."""
    return (rounds * (1 + insertions) + 1) * len(VARIANTS)


def measure_column(job: dict, searches: Path) -> dict:
    """Measure all that the table needs of one column and seed.

    Args:
        job: See :func:`column_job`, with ``data_dir`` and optionally ``strategy``.
        searches: Folder of run folders; an interrupted search in it is resumed.

    Returns:
        ``architecture``, ``flops``, ``parameters`` and ``depth`` of the column's network;
        ``epochs`` and accuracies after each training from scratch; ``seconds`` in all trainings;
        and ``searched``: None, or a search's number of ``trainings``, ``reason`` of its end,
        ``found`` (the chosen network, its epochs and accuracies) and ``best_on_test``. If a search
        trained nothing within the budget, ``architecture`` and ``found`` are None.
    """
    from resbuilder import SearchConfig, cost
    from resbuilder.start_network import start_architecture
    from resbuilder.surgery import scale_to_budget
    from resbuilder.training import TrainingData

    config = SearchConfig(
        **job["settings"], data_dir=job["data_dir"], strategy=job.get("strategy", "one_device")
    )
    data = TrainingData.load(config)
    searched, seconds = None, 0.0
    if job["kind"] in (SEARCH, RANDOM):
        history = _history(job, config, searches / f"{job['column']}_seed{config.seed}")
        best, searched = history.best(), _summary(history)
        architecture, seconds = best and best.record.architecture, history.finished.seconds
    else:
        architecture = start_architecture(config, data.dataset)
        if job["kind"] == SCALED:
            architecture = scale_to_budget(architecture, int(config.flops))
    result = {"architecture": None, FROM_SCRATCH: [], "searched": searched, "seconds": seconds}
    if architecture is None:
        return result
    counted = cost(architecture)
    records = _from_scratch(architecture, data, config, job[FROM_SCRATCH])
    return result | {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
        "depth": architecture.depth,
        FROM_SCRATCH: [
            {
                "epochs": config.epochs * (number + 1),
                "validation": record["validation"]["accuracy"],
                "test": record["test"]["accuracy"],
            }
            for number, record in enumerate(records)
        ],
        "seconds": seconds + sum(record["seconds"] for record in records),
    }


def _history(job: dict, config: SearchConfig, folder: Path) -> History:
    """Start or resume a search, and return its history; its output goes to a ``.log`` file."""
    from rich.console import Console

    from experiments.resbuilder.random_search import random_search
    from resbuilder import resume, search
    from resbuilder.progress import SearchProgress
    from resbuilder.report import read_history

    interrupted = begun(config, folder)
    with open(folder.with_suffix(".log"), "a", encoding="utf-8") as log:
        total = trainings(config.rounds, config.insertions)
        progress = SearchProgress(total, Console(file=log))
        if job["kind"] == RANDOM:
            random_search(config, folder, progress, job["networks"])
        elif interrupted:
            resume(folder, progress)
        else:
            search(config, folder, progress=progress)
    return read_history(folder)


def _summary(history: History) -> dict:
    from resbuilder.run import TrainingEvent

    scores = [
        s for s in history.scores() if s.variant != WITH_REG and history.within_budget(s.record)
    ]
    best = history.best()
    return {
        "trainings": len(history.of(TrainingEvent)),
        "reason": history.finished.reason,
        "found": best
        and {
            "network": best.label,
            "epochs": history.epochs_behind(best),
            "validation": best.validation,
            "test": best.test,
        },
        "best_on_test": max((s.test for s in scores if s.test is not None), default=None),
    }


def _from_scratch(
    architecture: Architecture, data: TrainingData, config: SearchConfig, count: int
) -> list[dict]:
    """Train from scratch, ``count`` times E epochs, and evaluate after each time."""
    import keras

    from resbuilder.training import Trainer

    keras.backend.clear_session()
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    return [trainer.fit(1000 * config.seed + number, regularize=False) for number in range(count)]
