"""Processor time of the demo's search, compared with that of commit 43f5f6f.

    python -m benchmarks.demo [--repeats 1]

It runs the command of `make demo` alternately from this checkout and from that commit, which git
checks out into a temporary folder. Each uses its own defaults, one core and one thread; the start
of Python counts. Goal: at most 0.70 of the processor time. It needs Linux and the repository's
history.
"""

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._measure import quartiles, versions

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "43f5f6f"
GOAL = 0.70


def flags() -> list[str]:
    """Return the flags of `make demo`."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return shlex.split(re.search(r"^DEMO_FLAGS \?=(.*)$", text, re.MULTILINE)[1])


def search(checkout: Path, out: Path) -> float:
    """Return the processor seconds of the demo's search by a checkout."""
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    core = min(os.sched_getaffinity(0))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = "from resbuilder.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", begin, "search", *flags(), "--out", out],
        cwd=checkout,
        env=environment | dict.fromkeys(threads, "1"),
        preexec_fn=lambda: os.sched_setaffinity(0, [core]),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1, help="pairs of searches")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as temporary:
        folder, seconds = Path(temporary), []
        git = ["git", "-C", ROOT, "worktree"]
        added = subprocess.run(
            [*git, "add", "--detach", folder / "reference", REFERENCE], capture_output=True
        )
        if added.returncode:
            parser.error(f"the history lacks commit {REFERENCE}: run git fetch --unshallow")
        try:
            for turn in range(repeats):
                sides = [("new", ROOT), ("old", folder / "reference")][:: 1 - 2 * (turn % 2)]
                found = {name: search(path, folder / f"{name}{turn}") for name, path in sides}
                seconds.append((found["new"], found["old"]))
        finally:
            subprocess.run([*git, "remove", "--force", folder / "reference"], check=True)
    ratios = np.array([new / old for new, old in seconds])
    new, old = np.median(seconds, axis=0)
    reached = "reached" if np.median(ratios) <= GOAL else "MISSED"
    print(f"search of the demo: {new:.1f} processor seconds, {REFERENCE} {old:.1f} (medians)")
    print(f"ratio in processor time {quartiles(ratios)}, goal <= {GOAL}: {reached}")
    print(versions())


if __name__ == "__main__":
    main()
