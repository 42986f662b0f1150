"""SIGKILL at random times, repeatedly: the result equals that of an uninterrupted run.

A command is started, killed after a random fraction of its duration, and started again, until it
finishes. After every kill, no file may be half written, and no child process may survive.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.tally import Tally
from tests.faults.whole import half_written

ROOT = Path(__file__).parents[2]
# Seconds in which the children of a killed command must end: a busy child checks for its parent
# only after its task.
PATIENCE = 20


@dataclass(frozen=True)
class Command:
    """A command to kill.

    Attributes:
        name: Name in the table.
        program: Python code that starts or resumes in the folder ``sys.argv[1]``.
        outcome: Returns the contents of a finished folder, for comparison.
    """

    name: str
    program: str
    outcome: Callable[[Path], object]

    def start(self, folder: Path) -> subprocess.Popen:
        with open(folder.with_suffix(".log"), "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", self.program, str(folder)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=log,
                stderr=log,
            )


def kills(command: Command, count: int, folder: Path, seed: int = 0) -> Tally:
    """Kill a command ``count`` times, in as many runs as that takes.

    Args:
        command: The command.
        count: Number of kills.
        folder: An empty folder, in which each run gets its own folder.
        seed: Seed of the times of the kills.
    """
    tally, dice, began = Tally(f"SIGKILL: {command.name}"), random.Random(seed), time.monotonic()
    if command.start(folder / "whole").wait():
        raise RuntimeError((folder / "whole.log").read_text())
    seconds, expected = time.monotonic() - began, command.outcome(folder / "whole")
    run = 0
    while tally.tried < count:
        path, began = folder / f"run{run}", time.monotonic()
        killed, wrong = _killed_until_it_ends(command, path, count - tally.tried, seconds, dice)
        if not killed:  # the first run may have been slow
            seconds = min(seconds, time.monotonic() - began)
        if not wrong and command.outcome(path) != expected:
            wrong = [f"{path}: its result differs from that of {folder / 'whole'}"]
        for number in range(max(killed, len(wrong))):
            right = "resumed with the same result"
            tally.add(right, wrong[number] if number < len(wrong) else None)
        run += 1
    return tally


def _killed_until_it_ends(
    command: Command, path: Path, most: int, seconds: float, dice: random.Random
) -> tuple[int, list[str]]:
    """Return the number of kills, at most ``most``, and what was wrong after them."""
    killed, wrong = 0, []
    while True:
        process = command.start(path)
        try:
            status = process.wait(dice.uniform(0, seconds) if killed < most else 60 + 10 * seconds)
        except subprocess.TimeoutExpired:
            killed += 1
            wrong += _kill(process, path)
            if killed > most:
                return killed, [*wrong, f"{path}: does not end"]
            continue
        if status:
            log = path.with_suffix(".log").read_text(errors="replace").splitlines() or ["silently"]
            wrong.append(f"{path}: ends with status {status}: {log[-1]}")
        return killed, wrong


def _kill(process: subprocess.Popen, path: Path) -> list[str]:
    """Kill a command, and return the processes and half-written files that it left behind."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    left = [f"{path}: process {p.pid} survives: {' '.join(p.cmdline()[:4])}" for p in alive]
    for orphan in alive:
        orphan.kill()
    return left + half_written(path)
