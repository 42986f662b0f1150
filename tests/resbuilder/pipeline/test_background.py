"""No-Reg trainings in other processes: the run stays the same, even if a process is killed."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from resbuilder import SearchConfig, search
from resbuilder.pipeline.background import BackgroundTrainings, Ways
from resbuilder.pipeline.steps import Steps
from resbuilder.run import Run
from resbuilder.run.journal import read_journal
from tests.resbuilder.pipeline.outcomes import weights

SETTINGS = {
    "dataset": "digits",
    "train_limit": 200,
    "epochs": 1,
    "batch_size": 40,
    "width": 4,
    "stages": 2,
    "flops": 100_000,
    "rounds": 1,
    "insertions": 0,
}


def outcome(path: Path) -> dict:
    """Return the entries by key, without their numbers and times."""
    clock = ("n", "time", "seconds")
    entries = (entry.to_json() for entry in read_journal(path / "journal.jsonl")[0])
    return {e["key"]: {k: e[k] for k in e if k not in clock} for e in entries}


def start(path: Path, workers: int) -> subprocess.Popen:
    # One thread each, because sums over several threads round differently.
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1"}
    program = (
        "import resbuilder; from tests.resbuilder.pipeline.outcomes import logged; "
        f"resbuilder.resume({str(path)!r}, workers={workers}, callbacks=logged)"
    )
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_search_with_workers_ends_like_one_without(tmp_path):
    for name in ("alone", "parallel"):
        Run.create(tmp_path / name, SearchConfig(**SETTINGS).resolved()).__exit__()
    alone, parallel = tmp_path / "alone", tmp_path / "parallel"
    assert start(alone, 1).wait() == 0
    process = start(parallel, 3)
    # The second With-Reg training begins while the No-Reg trainings of the first network run.
    while "architecture 1" not in outcome(parallel):
        assert process.poll() is None
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert family and not psutil.wait_procs(family, timeout=30)[1]
    assert "training 0 no_reg_wi" not in outcome(parallel)
    assert (parallel / "models" / "000_with_reg.keras").exists()
    assert start(parallel, 3).wait() == 0
    assert outcome(parallel) == outcome(alone)
    for a, b in zip(weights(parallel), weights(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    # The other processes have called the function for callbacks, too.
    trained = sum(key.startswith("training") for key in outcome(parallel))
    assert len(list((tmp_path / "parallel_logs").iterdir())) == trained == 6
    models = [{path.name for path in (run / "models").iterdir()} for run in (alone, parallel)]
    assert models[0] == models[1]


@pytest.mark.faults
@pytest.mark.slow
def test_a_search_continues_alone_when_its_worker_is_killed(tmp_path):
    killed = []

    def kill_first():
        while not killed:
            for child in psutil.Process().children():
                if "--multiprocessing-fork" in child.cmdline():
                    child.kill()
                    killed.append(child.pid)
            time.sleep(0.05)

    thread = threading.Thread(target=kill_first, daemon=True)
    thread.start()
    config = SearchConfig(**SETTINGS | {"rounds": 0})
    parallel = search(config, tmp_path / "parallel", workers=2)
    thread.join(1)
    assert killed
    assert parallel.best == search(config, tmp_path / "alone").best
    assert outcome(tmp_path / "parallel") == outcome(tmp_path / "alone")


class BrokenLikePython312(Executor):
    """Holds the lock of ``submit`` while it tells futures that it is broken.

    Python does so since 3.12 (gh-109047); with older versions, only this shows a deadlock.
    """

    def __init__(self):
        self.lock, self.futures = threading.Lock(), []
        self.broken = self.deadlock = False

    def submit(self, work, /, *arguments, **named):
        if not self.lock.acquire(timeout=5):
            self.deadlock = True
            raise RuntimeError
        try:
            if self.broken:
                raise BrokenProcessPool
            self.futures.append(Future())
            return self.futures[-1]
        finally:
            self.lock.release()

    def breaks(self):
        with self.lock:
            self.broken = True
            for future in self.futures:
                future.set_exception(BrokenProcessPool())


def test_waiting_trainings_are_executed_here_when_the_processes_break(tmp_path):
    executor, recorded, said = BrokenLikePython312(), [], []
    with Run.create(tmp_path / "run", SearchConfig(**SETTINGS)) as run:
        background = BackgroundTrainings(
            run,
            Ways(alone=None, here=lambda node, variant: (node, variant), elsewhere=None),
            SimpleNamespace(say=said.append),
            lambda node, variant, compute: recorded.append(compute()),
            executor,
            workers=2,
        )
        for node in range(4):
            background.begin(node, "no_reg_ri", done=False)
        assert len(executor.futures) == 1  # The others wait until the process is free.
        breaking = threading.Thread(target=executor.breaks)
        breaking.start()
        breaking.join(10)
        assert not (breaking.is_alive() or executor.deadlock)
        background.collect()
    assert recorded == [(node, "no_reg_ri") for node in range(4)]
    assert len(said) == 1 and "a worker process was killed" in said[0]


def test_a_search_that_fails_leaves_no_process_behind(tmp_path, monkeypatch):
    train, seen = Steps.train_with_reg, []

    def fail_at_the_second(self, node, *arguments):
        if node.index == 1:
            children = psutil.Process().children()
            seen.extend(p for p in children if "--multiprocessing-fork" in p.cmdline())
            raise OSError(errno.ENOSPC, "no space left")
        return train(self, node, *arguments)

    monkeypatch.setattr(Steps, "train_with_reg", fail_at_the_second)
    with pytest.raises(OSError, match="no space left"):
        search(SearchConfig(**SETTINGS), tmp_path / "run", workers=2)
    assert seen and not any(process.is_running() for process in seen)


def test_several_workers_and_trainings_on_all_gpus_exclude_each_other(tmp_path):
    config = SearchConfig(**SETTINGS, strategy="mirrored")
    with pytest.raises(ValueError, match="3 workers divide the GPUs among them, but strategy"):
        search(config, tmp_path / "run", workers=3)
    assert list(tmp_path.iterdir()) == []
