"""The No-Reg trainings: nothing waits for them, so they may run in processes beside the search.

What they give does not depend on where they run: a leaf has its own seeds, and reads its weights
from the run folder. Their records are written by the search alone, those of an architecture always
between the With-Reg training of the next one and what follows it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future

from resbuilder.config import SearchConfig
from resbuilder.pipeline.workshop import Node, Workshop
from resbuilder.run import RunFolder
from resbuilder.training import TrainingData
from resbuilder.workers import process_pool, use_threads, visible_gpus


class Leaves:
    """Has leaves trained, and their records written in the order in which they were begun.

    Args:
        workshop: Trains a leaf in this process, where that is to be.
        record: Called with node, variant and what computes the record: writes it.
        executor: Where leaves are trained; None for this process, each at once.
    """

    def __init__(self, workshop: Workshop, record: Callable, executor: Executor | None):
        self.workshop, self.record, self.executor = workshop, record, executor
        self._begun: list[tuple[Node, str, Future | None]] = []

    def begin(self, node: Node, variant: str, done: bool) -> None:
        """Have a leaf trained, unless the journal has it."""
        future = None
        if self.executor is not None and not done:
            folder = RunFolder(self.workshop.run.path, self.workshop.config)
            try:
                future = self.executor.submit(train_leaf, folder, node, variant)
            except BrokenExecutor:  # since a leaf before: this one is trained here
                self.executor = None
        self._begun.append((node, variant, future))
        if self.executor is None:
            self.collect()

    def collect(self) -> None:
        """Wait for the leaves that were begun, and have their records written."""
        while self._begun:
            node, variant, future = self._begun.pop(0)
            self.record(node, variant, lambda n=node, v=variant, f=future: self._outcome(n, v, f))

    def _outcome(self, node: Node, variant: str, future: Future | None) -> dict:
        if future is not None:
            try:
                return future.result()
            except BrokenExecutor:
                self.executor = None
                self.workshop.progress.say(
                    "a process that trained beside the search was killed, as systems do when "
                    "memory runs out; its trainings are done here from now on"
                )
        return self.workshop.train_leaf(node, variant)


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
    return process_pool(workers - 1, functools.partial(use_threads, threads), gpus[1:] or gpus)


@functools.lru_cache(maxsize=1)
def _data(config: SearchConfig) -> TrainingData:
    return TrainingData.load(config)
