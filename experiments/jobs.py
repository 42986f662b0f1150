"""Many small trainings: side by side in processes or on a cluster, resumable.

Each result has a file of its own, which the process that computes it writes: the folder is the one
place where all of them meet, so on a cluster it lies in a shared file system.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, as_completed
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resbuilder.common.backend import prepare_backend

if TYPE_CHECKING:
    from experiments.checkpoints import Checkpoint

# What only a running grid needs is imported in its functions: the help of a script is there at
# once.

# How often the processes are started again after one of them was killed.
RESTARTS = 3


def run_all(
    work: Callable[[dict], dict],
    jobs: dict[str, dict],
    folder: Path,
    workers: int,
    data_dir: str | None = None,
    cluster: Callable[[], Executor] | None = None,
    strategy: str = "one_device",
    after_each: Callable[[], None] = lambda: None,
) -> dict[str, dict]:
    """Does what is not done yet, and returns all results.

    Args:
        work: From the settings of a job to its result; a function of a module, because processes
            of their own call it. Among the settings it finds ``checkpoint``, the path of the file
            in which a job of more than a few minutes keeps its state
            (:class:`experiments.checkpoints.Checkpoint`); the file goes once the result is there.
        jobs: Settings of each job by its name, which names the file.
        folder: Where the results are kept, one ``NAME.json`` each, written when a job ends.
        workers: Processes, each on one core and, where there are some, one GPU.
        data_dir: Where the data lies, which ``work`` finds among the settings. It is no setting:
            a result stays what it is when the data moves.
        cluster: Makes what runs the jobs instead of processes, and does lost ones again.
        strategy: ``"mirrored"``: one job at a time, on all GPUs. Likewise among the settings, and
            none: the result is that of one device.
        after_each: Called whenever a job has ended.

    Returns:
        Result of each job by name, in the order of ``jobs``. Several processes, also on several
        machines, may share a folder: each job is done by one of them.

    Raises:
        click.UsageError: If a file there belongs to other settings or another version, or a job
            refuses its own.
        click.ClickException: If processes are killed again and again, or cannot write.
    """
    from resbuilder.common.processes import process_pool

    (folder / "locks").mkdir(parents=True, exist_ok=True)
    if strategy == "mirrored":
        make = cluster or (
            lambda: process_pool(1, prepare_backend, gpus=[])
        )  # It sees all of them.
    else:
        make = cluster or (lambda: process_pool(workers, single_thread))
    given = {"data_dir": data_dir, "strategy": strategy}
    # First what no other process is at; then, where one was, wait for it or do what it left.
    for wait in (False, True):
        for again in reversed(range(1 if cluster else 1 + RESTARTS)):
            missing = {name: job for name, job in jobs.items() if read(folder, name, job) is None}
            if not missing:
                break
            lost = _run(work, missing, folder, make, given, wait, len(jobs), after_each)
            if not lost:
                break
            if not again:
                raise click.ClickException(
                    f"{lost[0]} and what ran beside it were killed again and again, as systems do "
                    "when memory runs out: give fewer --workers, or more memory to each. What is "
                    "done is kept."
                )
    return {name: read(folder, name, job)["result"] for name, job in jobs.items()}


def _run(work, missing, folder, make, given, wait, total, after_each) -> list[str]:
    """Hands all jobs in; returns the names of those whose process was lost."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from resbuilder.common.processes import end_pool

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    lost = []
    with Progress(*columns, TimeElapsedColumn()) as progress, make() as pool:
        task = progress.add_task(folder.name, total=total, completed=total - len(missing))
        futures = {
            pool.submit(_alone, work, name, job, folder, given, wait): name
            for name, job in missing.items()
        }
        try:
            for future in as_completed(futures):
                if isinstance(future.exception(), BrokenExecutor):
                    lost.append(futures[future])
                elif future.result():
                    progress.advance(task)
                    progress.console.print(f"{folder.name}/{futures[future]} done")
                    after_each()
        except BaseException as error:
            end_pool(pool)
            if isinstance(error, ValueError):  # data that is not there, a value out of range
                raise click.UsageError(str(error)) from error
            if isinstance(error, OSError):  # a full disk, a folder that is read-only
                raise click.ClickException(
                    f"{(error.strerror or str(error)).lower()}: {error.filename or folder}; what "
                    "is done is kept: run the same command again when there is room to write"
                ) from error
            raise
    return lost


def _alone(work, name: str, job: dict, folder: Path, given: dict, wait: bool) -> bool:
    """A job on one core or on all GPUs, whatever started this process."""
    if given["strategy"] == "mirrored":
        prepare_backend()
    else:
        single_thread()
    return _one(work, name, job, folder, given, wait)


def _one(work, name: str, job: dict, folder: Path, given: dict, wait: bool) -> bool:
    """Does a job and writes its result, unless another process is at it or has done it."""
    from filelock import FileLock, Timeout

    path = folder / f"{name}.json"
    try:
        # The system gives the lock up when a process ends, however it ends.
        with FileLock(folder / "locks" / f"{name}.lock", blocking=wait):
            if not path.exists():
                start = time.time()
                checkpoint = _checkpoint(folder, name, job)
                result = work(job | given | {"checkpoint": str(checkpoint.path)})
                write(
                    path,
                    {
                        "job": job,
                        "version": this_version(),
                        "commit": commit(),
                        "result": result,
                        # Since the last interruption.
                        "seconds": round(time.time() - start, 1),
                        "machine": f"{platform.machine()}, {_devices(given['strategy'])}, Python "
                        f"{platform.python_version()}",
                    },
                )
                checkpoint.remove()
            return True
    except Timeout:
        return False


def _checkpoint(folder: Path, name: str, job: dict) -> Checkpoint:
    """The file of a job's state. Other settings or another version have another file."""
    from experiments.checkpoints import Checkpoint

    identity = json.dumps([_plain(job), this_version()], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Checkpoint(folder / "checkpoints" / f"{name}-{digest}.npz")


@cache
def this_version() -> str:
    """Return the version that is installed."""
    from importlib.metadata import version

    return version("resbuilder")


@cache
def commit() -> str | None:
    """Return the commit of the checkout, with ``+`` if files differ from it; None without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except OSError:
        return None
    if head.returncode or changed.returncode:
        return None
    return head.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")


def read(folder: Path, name: str, job: dict) -> dict | None:
    """What was written for a job, or None.

    Raises:
        click.UsageError: If it is damaged, or was written for other settings or by another version.
    """
    from resbuilder.common.files import parse_json

    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.UsageError(f"{path} is damaged ({error}); remove it") from None
    whole = isinstance(found, dict) and isinstance(found.get("result"), dict)
    if not whole or "job" not in found:
        raise click.UsageError(f"{path} is damaged: it holds no job and its result; remove it")
    if found["job"] != as_stored(job):
        raise click.UsageError(
            f"{path} is the result of other settings: {found['job']}, not {job}. Remove it, or "
            "give another folder with --out."
        )
    if (by := found.get("version", this_version())) != this_version():
        raise click.UsageError(
            f"{path} was measured with version {by}, and this is {this_version()}: they are not "
            "mixed. Keep it there and give another folder with --out, or remove it."
        )
    return found


def as_stored(job: dict) -> dict:
    """Return a job as a file of results holds it: five digits, tuples as lists."""
    return json.loads(json.dumps(_plain(job)))


def write(path: Path, value: dict) -> None:
    """Writes JSON whole or not at all: five digits, null for what is no number, a line an entry."""
    from resbuilder.common.files import atomically

    lines = [
        f"{json.dumps(key)}: {json.dumps(_plain(item), ensure_ascii=False, allow_nan=False)}"
        for key, item in value.items()
    ]
    with atomically(path) as part:
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def single_thread() -> None:
    """Keep this process to one core; call this before TensorFlow is imported."""
    for limit in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[limit] = "1"
    prepare_backend()


def _devices(strategy: str) -> str:
    """What this process computes on."""
    names = []
    if tf := sys.modules.get("tensorflow"):  # else nothing was computed with it
        gpus = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    cores = f"{os.cpu_count()} cores" if strategy == "mirrored" else "one core"
    return ", ".join((cores, *(name or "GPU" for name in names)))


def _plain(value):
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
