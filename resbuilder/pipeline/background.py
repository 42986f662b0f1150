"""Trainings that do not wait for each other, so they may run in processes beside the search.

They are the thesis' No-Reg trainings, and the networks in a rung of a race. What they give does not
depend on where they run: each has its own seeds, and reads its weights from the run folder. Their
records are written by the search alone, No-Reg trainings of an architecture always between the
With-Reg training of the next one and what follows it. Before it can go on there, the search does
trainings itself that no process has begun.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras

from resbuilder.common.processes import process_pool, use_threads, visible_gpus
from resbuilder.config import SearchConfig
from resbuilder.pipeline.trainings import Node, Trainings
from resbuilder.progress import SearchProgress
from resbuilder.run import RunFolder, TrainingEvent, read_data
from resbuilder.training import CallbackFactory, TrainingData


@dataclass(eq=False)
class Awaited:
    """A training: in a process once it has a future, done here once it has an outcome."""

    node: Node
    variant: str
    future: Future[TrainingEvent] | None = None
    outcome: TrainingEvent | None = None


#: Has a step recorded: node, variant, and what computes the event.
Recorder = Callable[[Node, str, Callable[[], TrainingEvent]], object]


class Ways(NamedTuple):
    """How a training is done; each returns its event.

    Attributes:
        alone: In a search of one process.
        here: In this process, while others run beside it.
        elsewhere: In such a process: a function of a module, perhaps partial.
    """

    alone: Callable[[Node, str], TrainingEvent]
    here: Callable[[Node, str], TrainingEvent]
    elsewhere: Callable[[RunFolder[SearchConfig], Node, str], TrainingEvent]


class BackgroundTrainings:
    """Does trainings, and has their events written in the order in which they were begun.

    Args:
        run: The run, for its settings and where it lies.
        ways: How a training is done.
        progress: Where to say that a process was killed.
        record: Writes an event.
        executor: Where trainings run; None for this process, each at once.
        workers: Trainings at the same time, this process' own included.
    """

    def __init__(
        self,
        run: RunFolder[SearchConfig],
        ways: Ways,
        progress: SearchProgress,
        record: Recorder,
        executor: Executor | None,
        workers: int = 1,
    ):
        self.ways, self.progress, self.record, self.executor = ways, progress, record, executor
        # Without the journal, which has one writer.
        self._folder = RunFolder(run.path, run.config)
        self._processes = workers - 1
        self._begun: deque[Awaited] = deque()
        # Not handed in before a process is free: what the executor has cannot be taken back.
        self._waiting: deque[Awaited] = deque()
        self._handed_in = 0
        self._lock = threading.Lock()

    def begin(self, node: Node, variant: str, done: bool) -> None:
        """Have a training done, unless the journal has it."""
        training = Awaited(node, variant)
        self._begun.append(training)
        if self.executor is None:
            self.collect()
        elif not done:
            self._waiting.append(training)
            self._hand_in(self.executor)

    def collect(self, before: Node | None = None) -> None:
        """Have the events written of the trainings that were begun, at most up to a node's."""
        while self._begun and self._begun[0].node is not before:
            training = self._begun.popleft()
            self.record(training.node, training.variant, functools.partial(self._outcome, training))

    def _hand_in(self, executor: Executor, ended: Future[TrainingEvent] | None = None) -> None:
        """Give each free process a training; called by the executor, too, when one has ended."""
        begun: list[Future[TrainingEvent]] = []
        with self._lock:
            self._handed_in -= ended is not None
            # Broken or shut down: what waits is trained here, or not at all.
            with contextlib.suppress(RuntimeError):
                while self._waiting and self._handed_in < self._processes:
                    training = self._waiting[0]
                    future = executor.submit(
                        self.ways.elsewhere, self._folder, training.node, training.variant
                    )
                    training.future = future
                    begun.append(future)
                    self._waiting.popleft()
                    self._handed_in += 1
        for future in begun:  # Not while locked: of one that has ended it calls at once.
            future.add_done_callback(functools.partial(self._hand_in, executor))

    def _outcome(self, training: Awaited) -> TrainingEvent:
        """Return what a training gave; while it runs elsewhere, do others here."""
        if self.executor is None:
            return self.ways.alone(training.node, training.variant)
        while training.outcome is None and not (training.future and training.future.done()):
            with self._lock:
                other = self._waiting.popleft() if self._waiting else None
            if other is None:
                break
            other.outcome = self._here(other)
        if training.outcome is not None:
            return training.outcome
        if training.future is None:
            return self._here(training)
        try:
            return training.future.result()
        except BrokenExecutor:
            self.progress.say(
                "a process that trained beside the search was killed, as systems do when memory "
                "runs out; its training is done here"
            )
            return self._here(training)

    def _here(self, training: Awaited) -> TrainingEvent:
        return self.ways.here(training.node, training.variant)


def train_no_reg(
    folder: RunFolder[SearchConfig], node: Node, variant: str, callbacks: CallbackFactory | None
) -> TrainingEvent:
    """Do a training in another process, and save its network for the search to judge."""
    trainings = Trainings(folder, data_of(folder), None, callbacks)
    return trainings.train_no_reg(node, variant)


def background_pool(workers: int, config: SearchConfig) -> ProcessPoolExecutor | None:
    """Return processes for trainings, one less than trainings at the same time.

    The search keeps the first GPU, and they share the others, if there are any.

    Returns:
        The processes; None where one training at a time is asked for.

    Raises:
        ValueError: If every training is to have all GPUs.
    """
    if workers == 1:
        return None
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if config.strategy == "mirrored":
        raise ValueError(
            f'{workers} workers share out the GPUs, and strategy "mirrored" takes all of them for '
            'one training; take one worker, or strategy "one_device"'
        )
    gpus = visible_gpus()
    if gpus:
        # Else TensorFlow would take the memory of every GPU that it sees.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    threads = max(1, (os.cpu_count() or 1) // workers)
    _use_threads(threads)
    return process_pool(workers - 1, functools.partial(use_threads, threads), gpus[1:] or gpus)


def _use_threads(threads: int) -> None:
    """Give the search's own trainings the threads of those beside it, so that all round alike."""
    if keras.backend.backend() == "tensorflow" and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow is already at work in this process.
            tf.config.threading.set_intra_op_parallelism_threads(threads)


def data_of(folder: RunFolder[SearchConfig]) -> TrainingData:
    """Load the data of a search, once for all trainings of a process."""
    return _data_of(folder.path, folder.config)


@functools.lru_cache(maxsize=1)
def _data_of(path: Path, config: SearchConfig) -> TrainingData:
    return TrainingData.load(config, read_data(path))
