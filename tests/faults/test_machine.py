"""A full or read-only disk, a clock that jumps, and a second process in the same folder."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from experiments.jobs import run_all
from resbuilder import SearchConfig, resume, search
from survival.cohort import Cohort
from survival.slides import preprocess_slides
from survival.training import TrainingSettings, train
from tests.faults.commands import commands
from tests.faults.whole import half_written

pytestmark = pytest.mark.faults
DIGITS = {"dataset": "digits", "train_limit": 200, "epochs": 1, "batch_size": 40, "width": 4}
DIGITS |= {"stages": 2, "flops": 100_000, "rounds": 1, "insertions": 1, "momentum": False}
SMALL = {"downsample": 8, "canvas": (80, 60)}
ONE_EPOCH = TrainingSettings(epochs=1, width=0.03, batch_size=4)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Return a folder with slides, and with a cohort and its images."""
    folder = tmp_path_factory.mktemp("ready")
    commands(folder)
    return folder


@pytest.fixture
def actions(ready):
    """Return functions by name that start or resume in a given folder."""
    cohort, images = Cohort.read(ready / "training" / "cohort.csv"), ready / "training" / "images"
    slides = ready / "slides" / "slides"
    return {
        "search": lambda path: (
            resume(path) if path.exists() else search(SearchConfig(**DIGITS), path)
        ),
        "grid": lambda path: run_all(large, {str(n): {"n": n} for n in range(8)}, path, 1),
        "slides": lambda path: preprocess_slides(slides, path, **SMALL),
        "training": lambda path: train(cohort, images, path, ONE_EPOCH),
    }


def large(job):
    """Return a result of 10 kB."""
    return {"n": job["n"], "text": "x" * 10_000}


@pytest.fixture
def disk(tmp_path):
    """Yield the folder of a small file system in memory, and a function that changes its options.

    The options are those of ``mount``, such as ``"size=1m"``.
    """
    if os.getuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]).returncode:
        pytest.skip("mounting a file system is not possible here")
    yield (
        folder,
        lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True),
    )
    subprocess.run(["umount", "--lazy", folder], check=True)


NAMES = ("search", "grid", "slides", "training")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_full_disk_leaves_complete_files_and_with_more_space_it_resumes(name, actions, disk):
    folder, remount = disk
    path = folder / "out"
    with pytest.raises((OSError, click.ClickException), match="(?i)no space left"):
        actions[name](path)
    assert half_written(folder) == []
    remount("size=64m")
    actions[name](path)
    assert half_written(folder) == []
    assert not [p for p in folder.rglob("*") if ".part" in p.name]


@pytest.mark.parametrize("name", NAMES)
def test_a_read_only_folder_is_named_as_the_reason(name, actions, disk):
    folder, remount = disk
    remount("ro")
    with pytest.raises((OSError, click.ClickException), match="(?i)read-only file system"):
        actions[name](folder / "out")


@pytest.mark.parametrize("name", ["search", "training"])
@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(name, actions, tmp_path, monkeypatch):
    outcome = commands(tmp_path)[name].outcome
    actions[name](tmp_path / "whole")
    dice, real = random.Random(0), time.time
    # Jumps of up to three years in both directions. (The monotonic clock of durations cannot jump.)
    monkeypatch.setattr(
        time, "time", lambda: real() + dice.choice((-1, 1)) * 10 ** dice.uniform(0, 8)
    )
    actions[name](tmp_path / "jumps")
    assert outcome(tmp_path / "jumps") == outcome(tmp_path / "whole")


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(lock: Path):
    """Let another process hold the lock."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "held\n"
    yield
    process.kill()
    process.wait()


@pytest.mark.parametrize("name", ["search", "slides", "training"])
@pytest.mark.slow
def test_a_second_process_is_rejected_until_the_first_has_ended_or_was_killed(
    name, actions, tmp_path
):
    path = tmp_path / "out"
    actions[name](path)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with held(path / "lock"), pytest.raises(ValueError, match="another process"):
        actions[name](path)
    actions[name](path)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
