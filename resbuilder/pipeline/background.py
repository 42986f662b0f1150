"""Trainings that are independent of each other, so they can run in other processes.

They are the thesis' No-Reg trainings, and the trainings of a race. Their results do not
depend on where they run: each has its own seeds, and reads its weights from the run folder. Only
the search writes their events, in the order in which they were begun: with several workers, the
No-Reg trainings of an architecture come right after the With-Reg training of the next one. While it
waits for them there, the search executes trainings that no other process has begun.
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
from resbuilder.run import RunFolder, TrainingEvent, read_data, read_environment
from resbuilder.training import CallbackFactory, TrainingData


@dataclass(eq=False)
class Awaited:
    """A training: it has a future if another process does it, an outcome if it was done here."""

    node: Node
    variant: str
    future: Future[TrainingEvent] | None = None
    outcome: TrainingEvent | None = None


#: Records a step: takes node, variant, and the function that computes the event.
Recorder = Callable[[Node, str, Callable[[], TrainingEvent]], object]


class Ways(NamedTuple):
    """The functions that execute a training; each returns its event.

    Attributes:
        alone: For a search with a single process.
        here: For this process, while there are other processes.
        elsewhere: For another process, so it can be pickled.
    """

    alone: Callable[[Node, str], TrainingEvent]
    here: Callable[[Node, str], TrainingEvent]
    elsewhere: Callable[[RunFolder[SearchConfig], Node, str], TrainingEvent]


class BackgroundTrainings:
    """Executes trainings, and records their events in the order in which they were begun.

    Args:
        run: The run, for its settings and its path.
        ways: How to execute a training.
        progress: Where to report that a process was killed.
        record: Records an event.
        executor: Where trainings run; None to execute each at once in this process.
        workers: Number of trainings at the same time, including one in this process.
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
        # Without the journal, which has one writer only.
        self._folder = RunFolder(run.path, run.config)
        self._processes = workers - 1
        self._begun: deque[Awaited] = deque()
        # Submitted only when a process is free, because the executor never gives a task back.
        self._waiting: deque[Awaited] = deque()
        self._running = 0
        self._lock = threading.Lock()

    def begin(self, node: Node, variant: str, done: bool) -> None:
        """Begin a training, unless it is in the journal already (``done``)."""
        training = Awaited(node, variant)
        self._begun.append(training)
        if self.executor is None:
            self.collect()
        elif not done:
            self._waiting.append(training)
            self._submit(self.executor)

    def collect(self, until: Node | None = None) -> None:
        """Record the events of all begun trainings, or only of those before a node's."""
        while self._begun and self._begun[0].node is not until:
            training = self._begun.popleft()
            self.record(training.node, training.variant, functools.partial(self._outcome, training))

    def _submit(self, executor: Executor, ended: Future[TrainingEvent] | None = None) -> None:
        """Give each free process a training; the executor calls this, too, when one has ended."""
        if ended is not None and (
            ended.cancelled() or isinstance(ended.exception(), BrokenExecutor)
        ):
            # Nothing runs there any more. From Python 3.12 on, the executor may hold a lock here
            # that submit() needs, and a thread that is in submit() may hold ours.
            return
        begun: list[Future[TrainingEvent]] = []
        with self._lock:
            self._running -= ended is not None
            # If the executor is broken or shut down, waiting trainings stay in this process.
            with contextlib.suppress(RuntimeError):
                while self._waiting and self._running < self._processes:
                    training = self._waiting[0]
                    future = executor.submit(
                        self.ways.elsewhere, self._folder, training.node, training.variant
                    )
                    training.future = future
                    begun.append(future)
                    self._waiting.popleft()
                    self._running += 1
        # Without the lock, because the callback of a future that has ended runs at once.
        for future in begun:
            future.add_done_callback(functools.partial(self._submit, executor))

    def _outcome(self, training: Awaited) -> TrainingEvent:
        """Return the event of a training; while another process does it, execute others here."""
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
                "a worker process was killed, probably because memory ran out; its training is "
                "executed in the main process"
            )
            return self._here(training)

    def _here(self, training: Awaited) -> TrainingEvent:
        return self.ways.here(training.node, training.variant)


def train_no_reg(
    folder: RunFolder[SearchConfig], node: Node, variant: str, callbacks: CallbackFactory | None
) -> TrainingEvent:
    """Execute a training in another process, and save its network for the search."""
    use_precision_of(folder)
    trainings = Trainings(folder, data_of(folder), None, callbacks)
    return trainings.train_no_reg(node, variant)


def background_pool(workers: int, config: SearchConfig) -> ProcessPoolExecutor | None:
    """Return the processes for trainings, one fewer than the number of workers.

    The search keeps the first GPU, and the processes share the others, if there are any.

    Returns:
        The pool of processes; None for a single worker.

    Raises:
        ValueError: If the number is below 1, or the strategy gives every training all GPUs.
    """
    if workers == 1:
        return None
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if config.strategy == "mirrored":
        raise ValueError(
            f'{workers} workers divide the GPUs among them, but strategy "mirrored" uses all of '
            'them for one training; use one worker, or strategy "one_device"'
        )
    gpus = _gpus()
    if gpus:
        # Otherwise TensorFlow would reserve the memory of every GPU that it sees.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    threads = max(1, (os.cpu_count() or 1) // workers)
    _use_threads(threads)
    start = functools.partial(use_threads, threads, os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
    return process_pool(workers - 1, start, gpus[1:] or gpus)


@functools.cache
def _gpus() -> list[str]:
    """Return the GPUs that this process saw before its first search hid all but one of them."""
    return visible_gpus()


def _use_threads(threads: int) -> None:
    """Use the same number of threads as in the other processes, so that all round alike."""
    if keras.backend.backend() == "tensorflow" and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow has already started in this process.
            tf.config.threading.set_intra_op_parallelism_threads(threads)


def use_precision_of(folder: RunFolder[SearchConfig]) -> None:
    """Use the policy of precision with which a search was begun."""
    if (begun := read_environment(folder.path).get("precision")) is not None:
        keras.config.set_dtype_policy(begun)


def data_of(folder: RunFolder[SearchConfig]) -> TrainingData:
    """Load the data of a search, once for all trainings of a process."""
    return _data_of(folder.path, folder.config)


@functools.lru_cache(maxsize=1)
def _data_of(path: Path, config: SearchConfig) -> TrainingData:
    return TrainingData.load(config, read_data(path))
