"""The columns of Table 6.1 and those beside it, and what is measured of each.

A column's network is given (Res18, ResNet-20, ResNet-18 with a stem for small images) or found by a
search. What a search finds is told in two ways: the network with its weights as they are, and its
architecture alone, trained anew. The weights of the former have seen up to n_Λ + 2 trainings (With
Reg after a MorphNet step, one more after each insertion, No Reg WI), so every column's network is
trained anew for as many: E epochs from random weights, evaluated, E more, and so on. Beside a
search's weights, however many epochs lie behind them, stands what every other column reaches in
as many.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resbuilder.variants import VARIANTS, WITH_REG

if TYPE_CHECKING:
    from resbuilder import Architecture, SearchConfig
    from resbuilder.report import History
    from resbuilder.training import TrainingData

AS_IT_IS, SCALED, SEARCH, RANDOM = "network as it is", "network scaled to ζ", "search", "random"


@dataclass(frozen=True)
class Column:
    """A column of the table: what the table calls it, how its network is had, from which start."""

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
        # No weight is below 0: LayerLasso removes nothing.
        {"insertions": 0, "lambda_layer": 0.0, "tau_layer": 0.0},
    ),
    "rb-r18": Column("RB-R18", SEARCH, "rb-r18"),
    "rb-0net": Column("RB-0Net", SEARCH, "rb-0net"),
    # Scaled to ζ whatever its width; 16 is that of He et al. (2016).
    "resnet-20": Column("ResNet-20", SCALED, "resnet-20", {"width": 16}),
    "small-stem": Column("ResNet-18, small stem", SCALED, "rb-r18", {"stem": "small"}),
    "random": Column("random search", RANDOM, "rb-0net"),
}


def column_job(name: str, settings: dict, scaled: bool) -> dict:
    """The job of one column and seed.

    Args:
        name: Of the column.
        settings: Of a :class:`resbuilder.SearchConfig`, those that all columns share.
        scaled: Whether Res18 too is scaled to ζ.

    Returns:
        ``column``, ``kind``, ``settings`` of the column, ``anew``: trainings from random weights
        on, ``networks``: how many a random search draws, one for each training of a search.
    """
    column = COLUMNS[name]
    rounds, insertions = settings["rounds"], settings["insertions"]
    return {
        "column": name,
        "kind": SCALED if scaled and column.kind == AS_IT_IS else column.kind,
        "settings": settings | {"start": column.start} | column.settings,
        "anew": insertions + 2,
        "networks": trainings(rounds, insertions),
    }


def trainings(rounds: int, insertions: int) -> int:
    """How many trainings a search has, unless it ends early."""
    return (rounds * (1 + insertions) + 1) * len(VARIANTS)


def measure_column(job: dict, searches: Path) -> dict:
    """All that the table needs of one column and seed.

    Args:
        job: See :func:`column_job`, with ``data_dir`` and, if it is another, ``strategy``.
        searches: Folder of run folders; a search that is there goes on.

    Returns:
        ``architecture``, ``flops``, ``parameters``, ``depth`` of the column's network; ``anew``:
        ``epochs`` and accuracies of it after each training from random weights on; ``searched``:
        None, or of the search its ``trainings`` and ``reason``, ``found`` (what it chose, its
        epochs and accuracies) and ``best_on_test``; ``seconds`` in all trainings. After a search
        that trained nothing within the budget there is no architecture and ``found`` is None.
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
    result = {"architecture": None, "anew": [], "searched": searched, "seconds": seconds}
    if architecture is None:
        return result
    counted = cost(architecture)
    anew = _trained_anew(architecture, data, config, job["anew"])
    return result | {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
        "depth": architecture.depth,
        "anew": [
            {
                "epochs": config.epochs * (number + 1),
                "validation": record["validation"]["accuracy"],
                "test": record["test"]["accuracy"],
            }
            for number, record in enumerate(anew)
        ],
        "seconds": seconds + sum(record["seconds"] for record in anew),
    }


def _history(job: dict, config: SearchConfig, folder: Path) -> History:
    """What a search leaves, begun or gone on with now; what it says goes into a file beside it."""
    from rich.console import Console

    from experiments.resbuilder.random_search import random_search
    from resbuilder import SearchConfig, resume, search
    from resbuilder.progress import SearchProgress
    from resbuilder.report import read_history
    from resbuilder.run import read_config

    begun = (folder / "config.json").exists()
    if begun:
        found = SearchConfig.from_mapping(read_config(folder, "search"))
        if _decisive(found) != _decisive(config):
            raise ValueError(
                f"{folder} is a search with other settings; remove it, or give another folder with "
                "--out"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".log"), "a", encoding="utf-8") as log:
        total = trainings(config.rounds, config.insertions)
        progress = SearchProgress(total, Console(file=log))
        if job["kind"] == RANDOM:
            random_search(config, folder, progress, job["networks"])
        elif begun:
            resume(folder, progress)
        else:
            search(config, folder, progress=progress)
    return read_history(folder)


def _decisive(config: SearchConfig) -> SearchConfig:
    """What decides about the result: not where the data lies, and on how many devices it trains."""
    return replace(config, data_dir=None, strategy="one_device")


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


def _trained_anew(
    architecture: Architecture, data: TrainingData, config: SearchConfig, count: int
) -> list[dict]:
    """Trains from random weights, ``count`` times on, and evaluates after each time."""
    import keras

    from resbuilder.training import Trainer

    keras.backend.clear_session()
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    return [trainer.fit(1000 * config.seed + number, regularize=False) for number in range(count)]
