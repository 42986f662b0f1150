"""Worker processes on this machine, one GPU each if there are GPUs; they end with their parent."""

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
    """Return a pool of processes that each see one GPU, so each training runs on one device.

    Args:
        workers: Number of processes. If there are fewer GPUs, processes share them.
        start: Called first in each process. Its module must not import a backend, because ``start``
            may set what a backend reads when it is imported.
        gpus: The GPUs to distribute; by default all that :func:`visible_gpus` finds.
    """
    context = multiprocessing.get_context("spawn")
    gpus = visible_gpus() if gpus is None else gpus
    queue = context.SimpleQueue()
    for _, gpu in zip(range(workers), itertools.cycle(gpus or [None])):
        queue.put(gpu)
    return ProcessPoolExecutor(workers, context, _start, (queue, start))


def end_pool(pool: Executor) -> None:
    """Terminate a pool; when this returns, none of its processes on this machine writes any more.

    Args:
        pool: A pool from :func:`process_pool`, or another executor, which is only shut down.
    """
    # From Python 3.14 on, pool.terminate_workers() does this.
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def use_threads(threads: int, onednn: str | None) -> None:
    """Limit this process to some threads, which leaves cores to other processes.

    Call this before TensorFlow is imported.

    Args:
        threads: Number of threads.
        onednn: TF_ENABLE_ONEDNN_OPTS in the parent process, or None if it is not set there. With
            oneDNN numbers are rounded differently, so both must use it, or neither.
    """
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    prepare_backend()
    if onednn is None:
        os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)


def visible_gpus() -> list[str]:
    """Return the GPUs in ``CUDA_VISIBLE_DEVICES``; if unset, the indices of all NVIDIA GPUs."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    # Without a working driver, it prints why instead of indices.
    return [] if found.returncode else [n for n in found.stdout.split() if n.isdigit()]


def _start(gpus: Any, start: Callable[[], None]) -> None:
    if (gpu := gpus.get()) is not None:
        # A backend reads this when it first looks for devices, not when it is imported.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # Ctrl-C reaches all processes of a terminal; only the parent reacts and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start()


def _end_with_parent() -> None:
    """Exit when the parent ends; without this, a worker would wait for ever for its next task."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker process calls this"
    parent.join()
    os._exit(1)
