"""The No-Reg trainings: nothing waits for them, so they may run in processes beside the search.

What they give does not depend on where they run: a leaf has its own seeds, and reads its weights
from the run folder. Their records are written by the search alone, those of an architecture always
between the With-Reg training of the next one and what follows it. Before it can go on there, the
search trains leaves itself that no process has begun.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass

import keras

from resbuilder.config import SearchConfig
from resbuilder.pipeline.workshop import Node, Workshop
from resbuilder.run import RunFolder
from resbuilder.training import TrainingData
from resbuilder.workers import process_pool, use_threads, visible_gpus


@dataclass(eq=False)
class Leaf:
    """A No-Reg training: in a process once it has a future, done here once it has an outcome."""

    node: Node
    variant: str
    future: Future | None = None
    outcome: dict | None = None


class Leaves:
    """Has leaves trained, and their records written in the order in which they were begun.

    Args:
        workshop: Trains a leaf in this process, where that is to be.
        record: Called with node, variant and what computes the record: writes it.
        executor: Where leaves are trained; None for this process, each at once.
        workers: Trainings at the same time, this process' own included.
    """

    def __init__(
        self, workshop: Workshop, record: Callable, executor: Executor | None, workers: int = 1
    ):
        self.workshop, self.record, self.executor = workshop, record, executor
        self._processes = workers - 1
        self._begun: deque[Leaf] = deque()
        # Not handed in before a process is free: what the executor has cannot be taken back.
        self._waiting: deque[Leaf] = deque()
        self._handed_in = 0
        self._lock = threading.Lock()

    def begin(self, node: Node, variant: str, done: bool) -> None:
        """Have a leaf trained, unless the journal has it."""
        leaf = Leaf(node, variant)
        self._begun.append(leaf)
        if self.executor is None:
            self.collect()
        elif not done:
            self._waiting.append(leaf)
            self._hand_in()

    def collect(self, before: Node | None = None) -> None:
        """Have the records written of the leaves that were begun, at most up to a node's."""
        while self._begun and self._begun[0].node is not before:
            leaf = self._begun.popleft()
            self.record(leaf.node, leaf.variant, functools.partial(self._outcome, leaf))

    def _hand_in(self, ended: Future | None = None) -> None:
        """Give each free process a leaf; called by the executor, too, when one has ended."""
        folder, begun = RunFolder(self.workshop.run.path, self.workshop.config), []
        with self._lock:
            self._handed_in -= ended is not None
            # Broken or shut down: what waits is trained here, or not at all.
            with contextlib.suppress(RuntimeError):
                while self._waiting and self._handed_in < self._processes:
                    leaf = self._waiting[0]
                    leaf.future = self.executor.submit(train_leaf, folder, leaf.node, leaf.variant)
                    begun.append(self._waiting.popleft())
                    self._handed_in += 1
        for leaf in begun:  # Not while locked: of one that has ended it calls at once.
            leaf.future.add_done_callback(self._hand_in)

    def _outcome(self, leaf: Leaf) -> dict:
        """What a leaf gave; while it is trained elsewhere, others are here."""
        if self.executor is None:
            return self.workshop.train_leaf(leaf.node, leaf.variant)
        while leaf.outcome is None and not (leaf.future and leaf.future.done()):
            with self._lock:
                other = self._waiting.popleft() if self._waiting else None
            if other is None:
                break
            other.outcome = self._here(other)
        if leaf.outcome is not None:
            return leaf.outcome
        try:
            return leaf.future.result()
        except BrokenExecutor:
            self.workshop.progress.say(
                "a process that trained beside the search was killed, as systems do when memory "
                "runs out; its training is done here"
            )
            return self._here(leaf)

    def _here(self, leaf: Leaf) -> dict:
        return self.workshop.train_leaf(leaf.node, leaf.variant, judge=False)


def train_leaf(folder: RunFolder, node: Node, variant: str) -> dict:
    """In another process: train a leaf, and save its network for the search to judge."""
    workshop = Workshop(folder, _data(folder.config), progress=None)
    return workshop.train_leaf(node, variant, judge=False)


def leaf_pool(workers: int, config: SearchConfig) -> Executor | None:
    """Processes for leaves, one less than trainings at the same time; None for one training.

    The search keeps the first GPU, and they share the others, if there are any.

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
    """As many for the search's own trainings as for those beside it, so that all round alike."""
    if keras.backend.backend() == "tensorflow" and "TF_NUM_INTRAOP_THREADS" not in os.environ:
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow is already at work in this process.
            tf.config.threading.set_intra_op_parallelism_threads(threads)


@functools.lru_cache(maxsize=1)
def _data(config: SearchConfig) -> TrainingData:
    return TrainingData.load(config)
