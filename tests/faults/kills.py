"""SIGKILL at random instants, again and again: the end is that of a run that nobody killed.

A command is started, killed after a random part of the time it takes, and started again, until it
ends by itself. After every kill no file may be half there and no process may go on.
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
# What a killed command started has to end too. One that is at work looks at its parent first then.
PATIENCE = 20


@dataclass(frozen=True)
class Command:
    """What is killed.

    Attributes:
        name: As the table names it.
        program: Python; ``sys.argv[1]`` is its folder, in which it begins or goes on.
        outcome: What a folder holds at the end, to be compared.
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
    """Kills a command so often, in as many runs as it takes.

    Args:
        command: Which.
        count: How often.
        folder: An empty folder; in it each run has one of its own.
        seed: Of the instants.
    """
    tally, dice, began = Tally(f"SIGKILL: {command.name}"), random.Random(seed), time.monotonic()
    if command.start(folder / "whole").wait():
        raise RuntimeError((folder / "whole.log").read_text())
    seconds, expected = time.monotonic() - began, command.outcome(folder / "whole")
    run = 0
    while tally.tried < count:
        path, began = folder / f"run{run}", time.monotonic()
        killed, wrong = _killed_until_it_ends(command, path, count - tally.tried, seconds, dice)
        if not killed:  # The first one may have been slow.
            seconds = min(seconds, time.monotonic() - began)
        if not wrong and command.outcome(path) != expected:
            wrong = [f"{path}: ends otherwise than {folder / 'whole'}"]
        for number in range(max(killed, len(wrong))):
            right = "went on to the same end"
            tally.add(right, wrong[number] if number < len(wrong) else None)
        run += 1
    return tally


def _killed_until_it_ends(
    command: Command, path: Path, most: int, seconds: float, dice: random.Random
) -> tuple[int, list[str]]:
    """Returns how often it was killed, at most so often, and what was wrong after that."""
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
    """Kills a command, and returns what it left that it must not."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    left = [f"{path}: its process {p.pid} goes on: {' '.join(p.cmdline()[:4])}" for p in alive]
    for orphan in alive:
        orphan.kill()
    return left + half_written(path)
