"""Processes of this machine, one GPU each where there are some; they end with what began them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from resbuilder.common.backend import prepare_backend


def process_pool(
    workers: int, start: Callable[[], None], gpus: list[str] | None = None
) -> ProcessPoolExecutor:
    """Processes that each see one GPU: trainings side by side, none spread over devices.

    Args:
        workers: How many. More than there are GPUs share them in turn.
        start: Called first in each process, a function of a module that imports no backend: what
            it sets is to be there before.
        gpus: Which GPUs to share out; all that :func:`visible_gpus` finds by default.
    """
    context = multiprocessing.get_context("spawn")
    gpus = visible_gpus() if gpus is None else gpus
    queue = context.SimpleQueue()
    for _, gpu in zip(range(workers), itertools.cycle(gpus or [None])):
        queue.put(gpu)
    return ProcessPoolExecutor(workers, context, _start, (queue, start))


def end_pool(pool: Executor) -> None:
    """End a pool at once; when this returns, none of its processes on this machine writes.

    Args:
        pool: Of :func:`process_pool`, or another executor, which is asked to shut down.
    """
    # pool.terminate_workers: Python 3.14
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def use_threads(threads: int) -> None:
    """Leave cores to the processes beside this one; call this before TensorFlow is imported."""
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    prepare_backend()


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names, or else the indices of all NVIDIA GPUs here."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()


def _start(gpus: Any, start: Callable[[], None]) -> None:
    if (gpu := gpus.get()) is not None:
        # Read when a backend first looks for devices, which is not when it is imported.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # Ctrl-C reaches all processes of a terminal; the parent decides what becomes of these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start()


def _end_with_parent() -> None:
    """A pool's process waits for ever for the next task of a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that was started by another calls this"
    parent.join()
    os._exit(1)
