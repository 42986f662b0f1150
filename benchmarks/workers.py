"""Time of a search and of preprocessing with several workers, compared with one worker.

    python -m benchmarks.workers [--workers 2] [--repeats 3]

It measures the time with N workers on N cores over the time with one worker on one core, including
the start of processes: for `resbuilder search` of a ResNet-20 on the digits (four architectures,
twelve trainings), and for `survival preprocess` of ten slides of 12,000×9,000 pixels. It also
measures the overhead of a task that does nothing, in processes and on embedded Ray. Use at most as
many workers as cores, on an otherwise idle machine. Linux only. Goals: 0.65 for a search with 2
workers, 0.45 with 3 workers; 0.6 for slides with 2 workers.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import as_completed
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks._measure import quartiles, versions
from benchmarks.slides import write_slide

GOALS = {("search", 2): 0.65, ("search", 3): 0.45, ("slides", 2): 0.6}
SEARCH = (
    *("--dataset", "digits", "--start", "resnet-20", "--epochs", 8, "--batch-size", 32),
    *("--flops", 2e6, "--rounds", 3, "--insertions", 0, "--tau-morphnet", 0),
)
TASKS = 200


def run(program: str, workers: int, *arguments) -> float:
    """Return the seconds of a command, with one core per worker and one thread per process."""
    begin = f"from {program}.cli import main; main()"
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    cores = sorted(os.sched_getaffinity(0))[:workers]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", begin, *map(str, arguments), "--workers", str(workers)],
        env=os.environ | threads,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def compare(name: str, command, workers: int, repeats: int) -> None:
    """Print the ratio of the times of a command with several workers and with one."""
    seconds = np.array([[command(n, turn) for n in (1, workers)] for turn in range(repeats)])
    one, many = np.median(seconds, axis=0)
    ratio = seconds[:, 1] / seconds[:, 0]
    goal = GOALS.get((name, workers))
    reached = "reached" if goal and np.median(ratio) <= goal else "MISSED"
    print(f"{name}: one worker {one:.1f} s, {workers} workers {many:.1f} s")
    said = f", goal <= {goal}: {reached}" if goal else ""
    print(f"  ratio {quartiles(ratio)}{said}", flush=True)


def nothing() -> None:
    """Do nothing, as a task."""


def overhead(name: str, make) -> None:
    """Print the delay of the first task, and the overhead of each further one."""
    start = time.perf_counter()
    with make() as executor:
        executor.submit(nothing).result()
        first = time.perf_counter() - start
        start = time.perf_counter()
        for future in as_completed([executor.submit(nothing) for _ in range(TASKS)]):
            future.result()
        each = (time.perf_counter() - start) / TASKS
    print(f"{name}: first task after {first:.2f} s, then {1e3 * each:.2f} ms a task", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of measurements")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def search(workers, turn):
            out = folder / f"search_{turn}_{workers}"
            return run("resbuilder", workers, "search", *SEARCH, "--out", out)

        def slides(workers, turn):
            out = folder / f"slides_{turn}_{workers}"
            return run("survival", workers, "preprocess", source, "--out", out)

        source = folder / "slides"
        source.mkdir()
        write_slide(source / "0.tif", (12_000, 9_000), (1,))
        for i in range(1, 10):
            shutil.copy(source / "0.tif", source / f"{i}.tif")
        compare("slides", slides, given.workers, given.repeats)
        compare("search", search, given.workers, given.repeats)
    from resbuilder.common.processes import process_pool

    overhead("processes", lambda: process_pool(given.workers, nothing, []))
    if find_spec("ray"):
        from resbuilder.common.cluster import RayExecutor

        overhead("embedded Ray", lambda: RayExecutor("local", given.workers))
    print(versions())


if __name__ == "__main__":
    main()
