"""Slides over the nodes of a Ray cluster, each still in a process of its own there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from itertools import islice
from typing import Any

from resbuilder.common.cluster import RayExecutor
from survival.slides.workers import run_isolated

# Tasks handed in at a time: enough for a large cluster, few enough for a million slides.
_WINDOW = 1024
# GiB of a slide: the process that reads it, and the worker that watches it.
_MEMORY = 1


def run_on_ray(
    function: Callable[[Any, Callable[[int, int], None]], Any],
    tasks: Sequence,
    workers: int,
    timeout: float,
    address: str,
) -> Generator[tuple[int, str, Any], None, None]:
    """As :func:`.workers.run_isolated`, on a cluster, and without reports of progress.

    A task takes a core and a GiB of memory. One whose node was lost is done again elsewhere.

    Args:
        function: As there, and so the next three.
        tasks: What it is called with.
        workers: Cores of an embedded Ray; a cluster counts its own.
        timeout: Seconds without a report after which a task is given up.
        address: As in :class:`.RayExecutor`, of which the errors are.

    Yields:
        Index of a task, and how it ended: ``"done"``, ``"failed"``, ``"no room"``.
    """
    if not tasks:
        return
    waiting = enumerate(tasks)
    with RayExecutor(address, workers, memory=_MEMORY) as cluster:
        running: dict[Future, int] = {}
        while True:
            for index, task in islice(waiting, _WINDOW - len(running)):
                running[cluster.submit(_isolated, function, task, timeout)] = index
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                index = running.pop(future)
                try:
                    yield index, *future.result()
                except BrokenExecutor as error:
                    yield index, "failed", f"its worker was lost every time: {error}"


def _isolated(function: Callable, task: Any, timeout: float) -> tuple[str, Any]:
    """On a node: a crash or a hang of the decoder ends a process of its own, not Ray's."""
    *_, (_, kind, value) = run_isolated(function, [task], 1, timeout)
    return kind, value
