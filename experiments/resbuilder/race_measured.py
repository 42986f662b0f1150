"""The measurements of a race and of the networks that it is compared with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.resbuilder.columns import SEARCH, measure_column
from experiments.resbuilder.race_jobs import RACE, THESIS
from experiments.resbuilder.searches import begun
from resbuilder.config import SearchConfig

if TYPE_CHECKING:
    from resbuilder import Architecture
    from resbuilder.training import TrainingData


def measure_job(job: dict, searches: Path) -> dict:
    """Do a job.

    Args:
        job: See :func:`jobs_of`, with ``data_dir``.
        searches: Folder of run folders; an interrupted race in it is resumed.

    Returns:
        ``architecture``, ``flops``, ``parameters``, accuracies on ``validation`` and ``test``
        images, ``epochs`` of the weights, and processor ``seconds`` (None for a race that was
        interrupted). A race also has ``label`` and, unless ``from_scratch`` is false, the
        accuracies ``scratch_validation`` and ``scratch_test`` of its architecture trained from
        scratch.
    """
    if job["kind"] == THESIS:
        return _thesis(job, searches)
    from resbuilder import resume, search
    from resbuilder.architecture import side_by_side
    from resbuilder.race import contenders
    from resbuilder.report import read_history
    from resbuilder.report.race import race_winner
    from resbuilder.training import TrainingData

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    start = time.process_time()
    if job["kind"] != RACE:
        # A hand-made network alone is its only trunk.
        trunks = job.get("trunks", [job])
        configs = [
            SearchConfig(**trunk["settings"], data_dir=job["data_dir"]).resolved()
            for trunk in trunks
        ]
        networks = [n for c in configs for n in contenders(c, data.dataset).values()]
        architecture = side_by_side(networks)
        result = whole(architecture, data, configs, trunks[0]["epochs"])
        return _about(architecture) | result | {"seconds": time.process_time() - start}
    folder = searches / f"{config.dataset}_seed{config.seed}"
    interrupted = begun(config, folder)
    resume(folder) if interrupted else search(config, folder)
    seconds = None if interrupted else time.process_time() - start
    history = read_history(folder)
    found = race_winner(history)
    if found is None:
        raise ValueError(f"{folder}: the race found no network: {history.finished.reason}")
    architecture = found.record.architecture
    result = _about(architecture) | {
        "label": found.record.label,
        "validation": found.validation,
        "test": found.test,
        "epochs": history.epochs_behind(found),
        "seconds": seconds,
    }
    if not job.get("from_scratch", True):
        return result
    each = [config] * len(architecture.trunks)
    scratch = whole(architecture, data, each, config.total_epochs)
    accuracies = ("validation", "test")
    return result | {f"scratch_{part}": scratch[part] for part in accuracies}


def _thesis(job: dict, searches: Path) -> dict:
    """Do the thesis' search."""
    start = time.process_time()
    result = measure_column(job | {"kind": SEARCH}, searches)
    found = result["searched"]["found"]
    if found is None:
        raise ValueError(f"the thesis' search found no network: {result['searched']['reason']}")
    about = {name: result[name] for name in ("architecture", "flops", "parameters")}
    accuracies = {name: found[name] for name in ("validation", "test", "epochs")}
    return about | accuracies | {"seconds": time.process_time() - start}


def whole(
    architecture: Architecture, data: TrainingData, configs: list[SearchConfig], epochs: int
) -> dict:
    """Train each trunk from scratch, as a contender of a race is trained.

    Args:
        architecture: The architecture.
        data: The data.
        configs: The settings for each of its trunks.
        epochs: Epochs of each trunk.
    """
    from experiments.resbuilder.from_scratch import trained
    from resbuilder.pipeline.race_trainings import joined
    from resbuilder.race import training_config

    networks = [
        trained(trunk, data, config, epochs, config.seed + 1000 * number)[0].network
        for number, (trunk, config) in enumerate(
            zip(architecture.trunks.values(), configs, strict=True)
        )
    ]
    trainer = joined(architecture, networks, data, training_config(configs[0]))
    accuracies = {part: trainer.evaluate(part)["accuracy"] for part in ("validation", "test")}
    return accuracies | {"epochs": epochs}


def _about(architecture: Architecture) -> dict:
    from resbuilder import cost

    counted = cost(architecture)
    return {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
    }
