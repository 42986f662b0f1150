"""Starting a search, going on with one, and what it leaves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras

from resbuilder.architecture import Architecture
from resbuilder.common.processes import end_pool
from resbuilder.config import RACE, THESIS, SearchConfig
from resbuilder.costs import cost
from resbuilder.model import load_network
from resbuilder.morphnet.google import require_morph_net
from resbuilder.pipeline.background import background_pool
from resbuilder.pipeline.loop import Loop
from resbuilder.pipeline.race import Race, entrants, entrants_of
from resbuilder.progress import SearchProgress, notice
from resbuilder.run import BEST_MODEL, ArchitectureEvent, DataEvent, Run, Winner, read_data
from resbuilder.run.events import RACE_ORIGINS
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import dearest_flops, with_image_size, with_start
from resbuilder.surgery import NEAR_ZERO, least_flops
from resbuilder.training import CallbackFactory, TrainingData
from resbuilder.training.callbacks import check_factory


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes:
        run: The run folder.
        best: The winner, with ``index``, ``variant``, ``accuracy_validation`` and
            ``accuracy_test``; None if nothing within the budget was trained.
        architecture: The winning architecture, or None.
        reason: Why the search ended.
    """

    run: Path
    best: Winner | None
    architecture: Architecture | None
    reason: str

    def model(self) -> keras.Model:
        """Load the winning network: raw pixels in, logits out.

        Raises:
            ValueError: If there is none.
        """
        if self.best is None:
            raise ValueError(f"no network within the budget was trained: {self.reason}")
        return load_network(self.run / BEST_MODEL)

    def report(self) -> Path:
        """Write ``report.html`` and its figures into the run folder."""
        from resbuilder.report import write_report  # matplotlib is not needed for a search

        return write_report(self.run)


def search(
    config: SearchConfig,
    out: str | Path,
    overwrite: bool = False,
    progress: SearchProgress | None = None,
    workers: int = 1,
    callbacks: CallbackFactory | None = None,
) -> SearchResult:
    """Search an architecture.

    Args:
        config: All settings.
        out: The run folder to make.
        overwrite: Whether an existing run folder may be replaced.
        progress: Where to show progress; on standard error by default.
        workers: Trainings at the same time: the search's own, and in processes beside it No-Reg
            trainings, or others of a race. A script must expect those processes:
            ``if __name__ == "__main__":``.
        callbacks: A function that is called for each training with its :class:`.TrainingInfo` and
            returns Keras callbacks, to log it with W&B, MLflow or as CSV. Their ``model`` is the
            trainer, whose attribute ``network`` is the network. They may not end a training. With
            several workers the function goes to their processes: it must be one of a module.

    Returns:
        The result; everything else is in the run folder.

    Raises:
        ValueError: If the data cannot be found or read, the budget is too small for the start
            network or the candidates, there are too few epochs for a race, a contender cannot be
            found or read, the folder exists, the engine cannot run here, or ``callbacks`` is not
            such a function. Nothing is written then. Later also if a callback ends a training.

    Example:
        >>> config = SearchConfig(
        ...     dataset="digits", flops=1e5, width=4, rounds=1, insertions=0, epochs=1
        ... )
        >>> result = search(config, "runs/digits")
        >>> cost(result.architecture).flops <= 1e5
        True
    """
    check_factory(callbacks, workers)
    config = config.resolved()
    if config.engine == "google":
        require_morph_net()
    say = progress.say if progress else notice
    config = with_image_size(config, config.flops, say)
    pool = background_pool(workers, config)
    data = TrainingData.load(config)
    if config.method == RACE:
        nodes = entrants(config, data)
        with Run.create(out, config, overwrite, data.record()) as run:
            return _go(
                run, data, lambda: Race(run, data, nodes, progress, pool, workers, callbacks), pool
            )
    config = with_start(config, data.dataset, say)
    start = start_architecture(config, data.dataset)
    if config.flops < (least := least_flops(start)):
        raise ValueError(
            f"a budget of {config.flops:,.0f} FLOPs is too small: the smallest {config.start} for "
            f"these images, with one channel in every layer, needs {least:,}; raise the budget"
        )
    _warn_of_size(start, config)
    _warn_of_threshold(config)
    with Run.create(out, config, overwrite, data.record()) as run:
        return _go(
            run, data, lambda: Loop(run, data, start, progress, pool, workers, callbacks), pool
        )


def resume(
    run_folder: str | Path,
    progress: SearchProgress | None = None,
    workers: int = 1,
    callbacks: CallbackFactory | None = None,
) -> SearchResult:
    """Go on with a search that was interrupted, or return the result of a finished one.

    Args:
        run_folder: The folder of the search.
        progress: As in :func:`search`.
        workers: As in :func:`search`; not necessarily as many as before.
        callbacks: As in :func:`search`; trainings that are done already do not ask for any.

    Raises:
        ValueError: If this is not the folder of a search, its data can no longer be read or are not
            those it began with, its journal is that of another method, another process works on
            it, or ``callbacks`` does not do.
    """
    check_factory(callbacks, workers)
    with Run.open(run_folder) as run:
        pool = background_pool(workers, run.config)
        data = TrainingData.load(run.config, read_data(run.path))
        _refuse_other_method(run)
        if run.config.method == RACE:
            nodes = entrants_of(run, data)
            return _go(
                run, data, lambda: Race(run, data, nodes, progress, pool, workers, callbacks), pool
            )
        if run.journal.has("architecture 0"):
            start = run.journal.get(ArchitectureEvent, "architecture 0").architecture
        else:
            start = start_architecture(run.config, data.dataset)
        return _go(
            run, data, lambda: Loop(run, data, start, progress, pool, workers, callbacks), pool
        )


def _refuse_other_method(run: Run[SearchConfig]) -> None:
    """Raise ValueError where a journal was not written by the method of the settings."""
    for event in run.journal.of(ArchitectureEvent):
        method = RACE if event.origin in RACE_ORIGINS else THESIS
        if method != run.config.method:
            raise ValueError(
                f'the journal of {run.path} is that of a search of method "{method}", and its '
                f'settings say "{run.config.method}"; restore them, or start a new run'
            )


def _warn_of_size(start: Architecture, config: SearchConfig) -> None:
    """Say so where networks will be far above the budget until MorphNet has shrunk them."""
    budget, begins = config.flops, cost(start).flops
    if begins > budget:
        warnings.warn(
            f"the start costs {begins / 1e6:,.4g} MFLOPs, more than the budget of "
            f"{budget / 1e6:,.4g}; take a smaller width or image_size, or a larger budget",
            stacklevel=3,
        )
    dearest = dearest_flops(start, config.block_flops) - begins
    if dearest > 2 * budget:
        warnings.warn(
            f"a block at full resolution costs {dearest / 1e6:,.4g} MFLOPs, "
            f"{dearest / budget:,.0f} times the budget: trainings before the first MorphNet step "
            "may be slow and large; take a smaller width, or insert_share",
            stacklevel=3,
        )


def _warn_of_threshold(config: SearchConfig) -> None:
    """Say so where a block is removed unless training enlarges its weights."""
    begins = NEAR_ZERO * math.sqrt(2 / math.pi)  # mean |w| of a normal distribution
    judged = config.insert_init == "last_conv" and config.layer_statistic == "mean"
    if judged and config.tau_layer >= begins:
        warnings.warn(
            f"τ_Λ = {config.tau_layer:g} is above {begins:.1g}, the mean |w| at which the last "
            "convolution of an inserted block begins: a block is removed unless training enlarges "
            "its weights; take a smaller tau_layer",
            stacklevel=3,
        )


def _go(
    run: Run[SearchConfig],
    data: TrainingData,
    make: Callable[[], Loop | Race],
    pool: ProcessPoolExecutor | None,
) -> SearchResult:
    found = DataEvent.from_json(data.fingerprint())
    data.check_same(run.journal.step(DataEvent, "data", lambda: found).sha256, run.path)
    try:
        loop = make()
        finished = loop.go()
    finally:
        if pool is not None:
            end_pool(pool)
    best = finished.best
    architecture = loop.nodes[best.index].architecture if best else None
    return SearchResult(run.path, best, architecture, finished.reason)
