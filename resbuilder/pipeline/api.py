"""Start a search, resume one, and use its result."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from resbuilder.architecture import Architecture
from resbuilder.common.processes import end_pool
from resbuilder.config import RACE, THESIS, SearchConfig
from resbuilder.costs import cost
from resbuilder.datasets import check_found
from resbuilder.model import load_network
from resbuilder.morphnet.google import require_morph_net
from resbuilder.pipeline.background import background_pool
from resbuilder.pipeline.loop import Loop
from resbuilder.pipeline.race import Race, entrants, entrants_of
from resbuilder.pipeline.trainings import architecture_key
from resbuilder.progress import SearchProgress, notice
from resbuilder.race import averaging_decay
from resbuilder.run import (
    BEST_MODEL,
    ArchitectureEvent,
    Run,
    Winner,
    check_beginning,
    place_of,
    read_data,
)
from resbuilder.run.events import RACE_ORIGINS
from resbuilder.run.folder import CONFIG
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import dearest_flops, with_image_size, with_start
from resbuilder.surgery import NEAR_ZERO, least_flops
from resbuilder.training import CallbackFactory, TrainingData
from resbuilder.training.callbacks import check_factory, require_tensorboard


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        run: The run folder.
        best: The best training, with ``index``, ``variant``, ``accuracy_validation`` and
            ``accuracy_test``; None if no network within the budget was trained.
        architecture: The best architecture, or None.
        reason: Why the search ended.
    """

    run: Path
    best: Winner | None
    architecture: Architecture | None
    reason: str

    def model(self) -> keras.Model:
        """Load the best network as a Keras model from raw pixels to logits.

        Raises:
            ValueError: If there is none.
        """
        if self.best is None:
            raise ValueError(f"the search trained no network within the budget: {self.reason}")
        return load_network(self.run / BEST_MODEL)

    def report(self) -> Path:
        """Write ``report.html`` and its figures to the run folder, and return its path."""
        from resbuilder.report import write_report  # A search itself does not need matplotlib.

        return write_report(self.run)


def search(
    config: SearchConfig,
    out: str | Path,
    overwrite: bool = False,
    progress: SearchProgress | None = None,
    workers: int = 1,
    callbacks: CallbackFactory | None = None,
) -> SearchResult:
    """Search for an architecture.

    Args:
        config: All settings.
        out: The run folder to create.
        overwrite: Whether an existing run folder may be replaced.
        progress: Where to show progress; on standard error by default.
        workers: Number of trainings at the same time: one in this process, the others (No-Reg
            trainings, or trainings of a race) in further processes. These import the main script,
            so it needs ``if __name__ == "__main__":``.
        callbacks: A function that takes the :class:`.TrainingInfo` of each training and returns
            Keras callbacks, for example to log it with W&B, MLflow or as CSV. Their ``model`` is
            the trainer; its attribute ``network`` is the network. They must not stop a training.
            With several workers, the function is sent to other processes, so it must be defined at
            the top level of a module.

    Returns:
        The result; everything else is in the run folder. Its :meth:`SearchResult.report` writes
        ``report.html``, which the command line does by itself.

    Raises:
        ValueError: If the data cannot be found or read, the budget is too small for the start
            network or the candidates, there are too few epochs for a race, a contender cannot be
            found or read, the folder exists, the engine cannot run here, or ``callbacks`` is not
            such a function. Nothing is written in these cases. Later, also if a callback stops a
            training.

    Example:
        >>> config = SearchConfig(
        ...     dataset="digits", flops=1e5, width=4, rounds=1, insertions=0, epochs=1
        ... )
        >>> result = search(config, "runs/digits")
        >>> cost(result.architecture).flops <= 1e5
        True
    """
    if not isinstance(config, SearchConfig):
        raise ValueError(f"a search takes a SearchConfig, got {type(config).__name__}")
    check_factory(callbacks, workers)
    place_of(out, overwrite, config)
    config = config.resolved()
    require_tensorboard(config)
    if config.engine == "google":
        require_morph_net()
    say = progress.say if progress else notice
    config = with_image_size(config, config.flops, say)
    pool = background_pool(workers, config)
    data = TrainingData.load(config)
    if config.method == RACE:
        ema = config.ema or averaging_decay(len(data.split.train), config.batch_size)
        config = replace(config, ema=ema)
        nodes = entrants(config, data)
        with Run.create(out, config, overwrite, data.record()) as run:
            return _run(
                run, data, lambda: Race(run, data, nodes, progress, pool, workers, callbacks), pool
            )
    config = with_start(config, data.dataset, say)
    start = start_architecture(config, data.dataset)
    if start.beside:
        raise ValueError(
            f'{config.start} has {len(start.trunks)} trunks side by side, but method "thesis" '
            "changes only one. It can only be trained, or be one of the contenders of a race; "
            "start this search from another network"
        )
    if config.flops < (least := least_flops(start)):
        raise ValueError(
            f"a budget of {config.flops:,.0f} FLOPs is too small: the smallest {config.start} for "
            f"these images, with one channel in every layer, needs {least:,}; increase the budget"
        )
    _warn_of_size(start, config)
    _warn_of_threshold(config)
    with Run.create(out, config, overwrite, data.record()) as run:
        return _run(
            run, data, lambda: Loop(run, data, start, progress, pool, workers, callbacks), pool
        )


def resume(
    run_folder: str | Path,
    progress: SearchProgress | None = None,
    workers: int = 1,
    callbacks: CallbackFactory | None = None,
) -> SearchResult:
    """Resume an interrupted search, or return the result of a finished one.

    Args:
        run_folder: The run folder of the search.
        progress: As in :func:`search`.
        workers: As in :func:`search`; the number may differ from before.
        callbacks: As in :func:`search`; not called for trainings that are already done.

    Raises:
        ValueError: If this is not the folder of a search, its data can no longer be read or have
            changed, its journal was written by another method, another process is using it, or
            ``callbacks`` is not a suitable function.
    """
    check_factory(callbacks, workers)
    with Run.open(run_folder) as run:
        require_tensorboard(run.config)
        pool = background_pool(workers, run.config)
        data = _recorded_data(run)
        _refuse_other_method(run)
        if run.config.method == RACE:
            nodes = entrants_of(run, data)
            return _run(
                run, data, lambda: Race(run, data, nodes, progress, pool, workers, callbacks), pool
            )
        if run.journal.has(architecture_key(0)):
            start = run.journal.get(ArchitectureEvent, architecture_key(0)).architecture
        else:
            start = start_architecture(run.config, data.dataset)
        return _run(
            run, data, lambda: Loop(run, data, start, progress, pool, workers, callbacks), pool
        )


def _recorded_data(run: Run[SearchConfig]) -> TrainingData:
    """Return the data of a run that has begun, or say what to do if they have moved."""
    try:
        check_found(run.config.dataset, run.config.data_dir)
    except ValueError as error:
        raise ValueError(
            f"{error}. If the data have moved, change dataset and data_dir in {run.path / CONFIG}"
        ) from None
    return TrainingData.load(run.config, read_data(run.path))


def _refuse_other_method(run: Run[SearchConfig]) -> None:
    """Raise ValueError if a journal was not written by the method of the settings."""
    for event in run.journal.of(ArchitectureEvent):
        method = RACE if event.origin in RACE_ORIGINS else THESIS
        if method != run.config.method:
            raise ValueError(
                f'the journal of {run.path} is that of a search with method "{method}", but its '
                f'settings say "{run.config.method}"; restore the files, or start a new run'
            )


def _warn_of_size(start: Architecture, config: SearchConfig) -> None:
    """Warn if networks will exceed the budget by far before the first MorphNet step."""
    budget, initial = config.flops, cost(start).flops
    if initial > budget:
        warnings.warn(
            f"the start network needs {initial / 1e6:,.4g} MFLOPs, more than the budget of "
            f"{budget / 1e6:,.4g}; choose a smaller width or image_size, or a larger budget",
            stacklevel=3,
        )
    limit = config.block_flops
    dearest = dearest_flops(start, limit) - initial
    if limit is not None and dearest > limit:
        warnings.warn(
            f"a block at full resolution with one inner channel needs {dearest / 1e6:,.4g} MFLOPs, "
            f"more than the {limit / 1e6:,.4g} that insert_share allows; choose a smaller width",
            stacklevel=3,
        )
    elif dearest > 2 * budget:
        warnings.warn(
            f"a block at full resolution needs {dearest / 1e6:,.4g} MFLOPs, "
            f"{dearest / budget:,.0f} times the budget, so trainings before the first MorphNet "
            "step may be slow and need much memory; choose a smaller width, or set insert_share",
            stacklevel=3,
        )


def _warn_of_threshold(config: SearchConfig) -> None:
    """Warn if new blocks start below the threshold at which they are removed."""
    # The weights are drawn from N(0, σ²), so E|w| = σ √(2/π).
    initial = NEAR_ZERO * math.sqrt(2 / math.pi)
    applies = config.insert_init == "last_conv" and config.layer_statistic == "mean"
    if applies and config.tau_layer >= initial:
        warnings.warn(
            f"τ_Λ = {config.tau_layer:g} is above {initial:.1g}, the initial mean |w| of the last "
            "convolution of an inserted block, so a block is removed unless training enlarges its "
            "weights; choose a smaller tau_layer",
            stacklevel=3,
        )


def _run(
    run: Run[SearchConfig],
    data: TrainingData,
    make: Callable[[], Loop | Race],
    pool: ProcessPoolExecutor | None,
) -> SearchResult:
    """Check that the run began with these data and settings, search, and end the pool."""
    check_beginning(run, data.dataset.name, data.fingerprint())
    try:
        loop = make()
        finished = loop.go()
    finally:
        if pool is not None:
            end_pool(pool)
    best = finished.best
    architecture = loop.nodes[best.index].architecture if best else None
    return SearchResult(run.path, best, architecture, finished.reason)
