"""Many small jobs, run in parallel by processes or on a cluster, and resumable.

Each result has its own file, which the computing process writes. Processes share nothing but the
folder of these files, so a cluster needs it on a shared file system.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.provenance import commit, machine, this_version
from resbuilder.common.backend import prepare_backend

if TYPE_CHECKING:
    from experiments.checkpoints import Checkpoint

# Imports that only running jobs need are inside functions, so that --help answers at once.

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
    """Run the jobs that have no result yet, and return all results.

    Several processes, also on several machines, may share a folder: one of them does each job.

    Args:
        work: Takes the settings of a job and returns its result. It must be a module-level
            function, because other processes call it. Its argument also contains ``checkpoint``,
            the path of the file in which a job of more than a few minutes saves its state
            (:class:`experiments.checkpoints.Checkpoint`). The file is deleted once the result
            is written.
        jobs: Settings of each job by name. The name is also the name of its file.
        folder: Folder of the results, one ``NAME.json`` each, written when a job ends.
        workers: Number of processes, each on one core and, if there is one, one GPU.
        data_dir: Folder of the data. ``work`` receives it with the settings, but it is not part
            of them: a result stays valid when the data moves.
        cluster: Makes an executor that replaces the processes and repeats lost jobs itself.
        strategy: ``"mirrored"`` runs one job at a time, on all GPUs. ``work`` receives it too, and
            it is not part of the settings either: results equal those of one device.
        after_each: Called whenever a job has ended.

    Returns:
        Result of each job by name, in the order of ``jobs``.

    Raises:
        click.UsageError: If a file in the folder belongs to other settings or another version, or
            if a job rejects its settings.
        click.ClickException: If processes are killed repeatedly, or cannot write.
    """
    from resbuilder.common.processes import process_pool

    (folder / "locks").mkdir(parents=True, exist_ok=True)
    if strategy == "mirrored":
        # With no GPU assigned to it, the process sees all of them.
        make = cluster or (lambda: process_pool(1, prepare_backend, gpus=[]))
    else:
        make = cluster or (lambda: process_pool(workers, single_thread))
    given = {"data_dir": data_dir, "strategy": strategy}
    # First the jobs that no other process is running; then wait for those, or redo failed ones.
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
                    f"processes were killed repeatedly while {lost[0]} and others ran, perhaps "
                    "because memory ran out. Finished results are kept: run the same command again "
                    "with fewer --workers, or with more memory for each."
                )
    return {name: read(folder, name, job)["result"] for name, job in jobs.items()}


def _run(work, missing, folder, make, given, wait, total, after_each) -> list[str]:
    """Submit all jobs, and return the names of those whose process was lost."""
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
            if isinstance(error, ValueError):  # missing data, a value out of range
                raise click.UsageError(str(error)) from error
            if isinstance(error, OSError):  # a full disk, a read-only folder
                raise click.ClickException(
                    f"{(error.strerror or str(error)).lower()}: {error.filename or folder}. "
                    "Finished results are kept: make the folder writable or free some disk space, "
                    "then run the same command again"
                ) from error
            raise
    return lost


def _alone(work, name: str, job: dict, folder: Path, given: dict, wait: bool) -> bool:
    """Do a job on one core or on all GPUs, however this process was started."""
    if given["strategy"] == "mirrored":
        prepare_backend()
    else:
        single_thread()
    return _one(work, name, job, folder, given, wait)


def _one(work, name: str, job: dict, folder: Path, given: dict, wait: bool) -> bool:
    """Do a job and write its result, unless another process is running it or has done it."""
    from filelock import FileLock, Timeout

    path = folder / f"{name}.json"
    try:
        # The operating system releases the lock however a process ends.
        with FileLock(folder / "locks" / f"{name}.lock", blocking=wait):
            if not path.exists():
                start, code = time.time(), commit()  # Before: the checkout may change meanwhile.
                checkpoint = _checkpoint(folder, name, job)
                result = work(job | given | {"checkpoint": str(checkpoint.path)})
                write(
                    path,
                    {
                        "job": job,
                        "version": this_version(),
                        "commit": code,
                        "result": result,
                        # Counted from the last interruption.
                        "seconds": round(time.time() - start, 1),
                        "machine": machine(given["strategy"]),
                    },
                )
                checkpoint.remove()
            return True
    except Timeout:
        return False


def _checkpoint(folder: Path, name: str, job: dict) -> Checkpoint:
    """Return the checkpoint of a job; other settings or another version have another file."""
    from experiments.checkpoints import Checkpoint

    identity = json.dumps([_plain(job), this_version()], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Checkpoint(folder / "checkpoints" / f"{name}-{digest}.npz")


def read(folder: Path, name: str, job: dict) -> dict | None:
    """Return the contents of a job's file, or None if there is none.

    Raises:
        click.UsageError: If the file is damaged, or belongs to other settings or another version.
    """
    from resbuilder.common.files import parse_json

    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.UsageError(f"{path} is damaged ({error}): remove it") from None
    whole = isinstance(found, dict) and isinstance(found.get("result"), dict)
    if not whole or "job" not in found:
        raise click.UsageError(f"{path} is damaged (it has no job or no result): remove it")
    if found["job"] != as_stored(job):
        raise click.UsageError(
            f"{path} is the result of other settings ({differences(found['job'], job)}). Remove "
            "it, or choose another folder with --out."
        )
    if (by := found.get("version", this_version())) != this_version():
        raise click.UsageError(
            f"{path} was measured with version {by}, but this is {this_version()}; results of two "
            "versions are not mixed. Choose another folder with --out, or remove the file."
        )
    return found


def seed_of(job: dict) -> int:
    """Return the seed in a job's settings or in its ``settings`` entry; 0 if there is none."""
    return job.get("seed", job.get("settings", {}).get("seed", 0))


def differences(found: dict, expected: dict) -> str:
    """Return in which settings a stored job differs from an expected one.

    Example:
        >>> differences({"seed": 1, "net": {"depth": 2}}, {"net": {"depth": 3, "width": 8}})
        'seed is 1, not given; net.depth is 2, not 3; net.width is not given, not 8'
    """
    old, new = _flat(found), _flat(expected)
    return "; ".join(
        f"{name} is {old.get(name, 'not given')}, not {new.get(name, 'given')}"
        for name in old | new
        if old.get(name) != new.get(name)
    )


def _flat(value, name="") -> dict[str, str]:
    """Return the leaves of nested settings as JSON, by their names joined with dots."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {name: json.dumps(_plain(value), ensure_ascii=False)}
    leaves = [_flat(item, f"{name}.{key}".strip(".")) for key, item in value.items()]
    return {key: item for found in leaves for key, item in found.items()}


def as_stored(job: dict) -> dict:
    """Return a job as a results file stores it: five significant digits, tuples as lists."""
    return json.loads(json.dumps(_plain(job)))


def write(path: Path, value: dict) -> None:
    """Write JSON atomically, one entry a line: five significant digits, null for NaN and ±∞."""
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


def _plain(value):
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
