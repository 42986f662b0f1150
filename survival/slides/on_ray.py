"""Slides on the nodes of a Ray cluster, each still in a separate process there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from itertools import islice
from typing import Any

from resbuilder.common.cluster import RayExecutor
from survival.slides.workers import run_isolated

# Tasks submitted at a time: enough for a large cluster, few enough for a million slides.
_WINDOW = 1024
# GiB per slide, for the process that reads it and the Ray worker that supervises it.
_MEMORY = 1


def run_on_ray(
    function: Callable[[Any, Callable[[int, int], None]], Any],
    tasks: Sequence,
    workers: int,
    timeout: float,
    address: str,
) -> Generator[tuple[int, str, Any], None, None]:
    """Run tasks as :func:`.workers.run_isolated` does, on a cluster and without progress reports.

    A task takes one core and one GiB of memory. If a node is lost, its tasks run again elsewhere.

    Args:
        function: The function to run, see :func:`.workers.run_isolated`.
        tasks: The tasks that the function is called with.
        workers: Cores of an embedded Ray; ignored for a cluster.
        timeout: Seconds without a report after which a task fails.
        address: Address of the cluster, see :class:`.RayExecutor`, which also lists the errors.

    Yields:
        The index of a task, its outcome ``"done"``, ``"failed"`` or ``"no room"``, and the result
        or the reason.
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
    """Run a task on a node in a separate process, so that a crash does not end Ray's worker."""
    *_, (_, kind, value) = run_isolated(function, [task], 1, timeout)
    return kind, value
