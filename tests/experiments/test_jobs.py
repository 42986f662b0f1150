"""Grids of small trainings: each is done once, by one process, and no result is lost or mixed."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from experiments import command, measuring, provenance
from experiments.checkpoints import Checkpoint
from experiments.jobs import _checkpoint, _one, run_all, write
from experiments.restore import main as restore_command
from experiments.restore import restore


def squared(job):
    return {"square": float(job["x"] ** 2), "nothing": float("nan")}


def slow(job):
    with open(job["log"], "a") as log:
        log.write(f"{job['x']}\n")
    time.sleep(0.2)
    return {"x": job["x"]}


def test_jobs_resume_and_reject_other_settings(tmp_path):
    jobs = {str(n): {"x": n} for n in range(3)}
    assert run_all(squared, jobs, tmp_path, workers=1)["2"] == {"square": 4.0, "nothing": None}
    (tmp_path / "1.json").unlink()
    before = (tmp_path / "2.json").stat().st_mtime_ns
    run_all(squared, jobs, tmp_path, workers=1)
    assert (tmp_path / "1.json").exists()
    assert (tmp_path / "2.json").stat().st_mtime_ns == before
    with pytest.raises(Exception, match=r"other settings \(x is 1, not 7\)\. Remove it"):
        run_all(squared, {"1": {"x": 7}}, tmp_path, workers=1)


def changing_the_checkout(job):
    provenance.commit.cache_clear()
    with open(job["file"], "a") as file:
        file.write("# changed\n")
    return {}


def test_a_result_names_the_commit_with_which_its_job_began(tmp_path, monkeypatch):
    home = tmp_path / "checkout" / "experiments"
    home.mkdir(parents=True)
    (home / "script.py").touch()
    git = ["git", "-C", home, "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr(provenance, "__file__", str(home / "provenance.py"))
    provenance.commit.cache_clear()
    clean = provenance.commit()
    (tmp_path / "locks").mkdir()
    job, given = {"file": str(home / "script.py")}, {"strategy": "one_device"}
    assert _one(changing_the_checkout, "job", job, tmp_path, given, wait=True)
    assert json.loads((tmp_path / "job.json").read_text())["commit"] == clean
    assert provenance.commit() == f"{clean}+"
    provenance.commit.cache_clear()


def test_committed_results_need_no_second_measurement(tmp_path):
    jobs = {str(n): {"x": n} for n in range(2)}
    write(tmp_path / "results.json", {"1": {"job": {"x": 1}, "square": 100.0, "nothing": None}})
    assert restore(tmp_path / "results.json", tmp_path / "runs") == 1
    results = run_all(squared, jobs, tmp_path / "runs", workers=1)
    assert [results["0"]["square"], results["1"]["square"]] == [0.0, 100.0]
    assert restore(tmp_path / "results.json", tmp_path / "runs") == 0
    write(tmp_path / "old.json", {"1": {"job": {"x": 1}, "version": "0.0.1", "square": 1.0}})
    with pytest.raises(ValueError, match="measured with version 0.0.1, but this is"):
        restore(tmp_path / "old.json", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "preset"),
    [("race_cifar10_laptop", "laptop"), ("race_cifar10", "workstation"), ("smallnorb", "thesis")],
)
def test_results_are_restored_where_their_script_looks_for_them(
    tmp_path, monkeypatch, name, preset
):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    (tmp_path / "resbuilder").mkdir()
    write(tmp_path / "resbuilder" / f"{name}.json", {"1": {"job": {}, "test": 0.5}})
    arguments = [f"resbuilder/{name}", "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(restore_command, arguments, catch_exceptions=False)
    assert "1 results restored" in done.output
    script = name.removesuffix("_laptop")
    assert (tmp_path / "runs" / f"{script}_{preset}" / "1.json").is_file()
    done = CliRunner().invoke(restore_command, ["resbuilder/other"])
    assert done.exit_code == 2 and f"expected one of resbuilder/{name}" in done.output


def test_results_of_another_version_are_kept_and_not_mixed(tmp_path):
    run_all(squared, {"1": {"x": 1}}, tmp_path, workers=1)
    entry = json.loads((tmp_path / "1.json").read_text()) | {"version": "0.0.1"}
    write(tmp_path / "1.json", entry)
    with pytest.raises(Exception, match="0.0.1.*--out"):
        run_all(squared, {"1": {"x": 1}}, tmp_path, workers=1)
    assert json.loads((tmp_path / "1.json").read_text())["version"] == "0.0.1"


@pytest.mark.faults
def test_two_processes_share_a_grid_without_doing_anything_twice(tmp_path):
    log = tmp_path / "log"
    jobs = {str(n): {"x": n, "log": str(log)} for n in range(6)}
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=run_all, args=(slow, jobs, tmp_path / "runs", 1)) for _ in range(2)
    ]
    for process in others:
        process.start()
    for process in others:
        process.join()
        assert process.exitcode == 0
    assert sorted(log.read_text().split()) == list("012345")
    assert len(run_all(slow, jobs, tmp_path / "runs", 1)) == 6


def counts_to_five(job):
    """Do a job in steps that is killed once, after its third step."""
    kept = Checkpoint(job["checkpoint"], interval=0)
    state = kept.load() or {"steps": [], "array": np.zeros(0), "best": math.inf}
    while len(state["steps"]) < 5:
        state["steps"].append(os.getpid())
        state["array"] = np.append(state["array"], len(state["steps"]))
        assert kept.due
        kept.save(state)
        if len(state["steps"]) == 3 and not Path(job["killed"]).exists():
            Path(job["killed"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    assert state["best"] == math.inf
    return {"processes": len(set(state["steps"])), "sum": float(state["array"].sum())}


def test_a_killed_job_resumes_at_its_checkpoint(tmp_path):
    jobs = {"a": {"killed": str(tmp_path / "killed")}}
    result = run_all(counts_to_five, jobs, tmp_path / "runs", 1)["a"]
    assert result == {"processes": 2, "sum": 15.0}  # five steps in all, by two processes
    assert not list((tmp_path / "runs" / "checkpoints").iterdir())


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path):
    first, second = (_checkpoint(tmp_path, "a", {"x": x}) for x in (1, 2))
    first.save({"step": 3})
    assert second.load() is None
    assert _checkpoint(tmp_path, "a", {"x": 1}).load() == {"step": 3}


def test_results_are_stored_after_each_job_and_earlier_ones_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    jobs = {str(n): {"x": n} for n in range(3)}
    path = tmp_path / "results" / "chapter" / "script.json"
    earlier = {"job": {"x": 2}, "version": "0.1.0", "square": 400.0}
    path.parent.mkdir(parents=True)
    write(path, {"2": earlier, "1": earlier})
    folder = tmp_path / "runs"
    (folder / "locks").mkdir(parents=True)
    run_all(squared, {"0": jobs["0"]}, folder, 1)
    measuring._store(path, jobs, folder, ["0"])
    squares = {name: entry["square"] for name, entry in json.loads(path.read_text()).items()}
    assert squares == {"0": 0.0, "2": 400.0}  # "1" was of other settings


def test_a_job_that_does_not_run_may_have_provisional_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    running = command.Running(workers=1, out=tmp_path / "runs")
    jobs = {"rate": {"x": 1}, "whole": {"x": 2}}
    measuring.measure("chapter/script", squared, jobs, "thesis", running)
    # The results file is lost, so the settings of the second job are unknown at first.
    (tmp_path / "results" / "chapter" / "script.json").unlink()
    provisional = jobs | {"whole": {"x": 0}}
    path = measuring.measure("chapter/script", squared, provisional, "thesis", running, ["rate"])
    assert list(json.loads(path.read_text())) == ["rate"]
    path = measuring.measure("chapter/script", squared, jobs, "thesis", running)
    assert {e["square"] for e in json.loads(path.read_text()).values()} == {1.0, 4.0}


@pytest.mark.parametrize(
    ("seeds", "chosen"), [(1, ["a"]), (2, ["a", "b"]), (None, ["a", "b", "c"])]
)
def test_the_first_seeds_are_those_of_the_jobs_whatever_their_numbers(seeds, chosen):
    jobs = {"a": {"settings": {"seed": 10}}, "b": {"seed": 11}, "c": {"seed": 12}}
    assert command.Running(seeds=seeds).chosen(jobs) == chosen


ENDLESS = """
import os, sys, time
from pathlib import Path
import click
from experiments.jobs import run_all
from resbuilder.common.cli import Command, resumed_by

def endless(job):
    import keras

    Path(job["folder"], str(os.getpid())).touch()
    time.sleep(1000)

@click.command(cls=Command)
@click.argument("folder")
def main(folder):
    with resumed_by():
        run_all(endless, {str(n): {"folder": folder} for n in range(2)}, Path(folder, "runs"), 2)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_ctrl_c_to_the_parent_only_ends_all_processes_and_says_how_to_resume(tmp_path):
    """The output contains nothing else, no start-up messages of the backend."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    (tmp_path / "pids").mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "pids")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        # A shell makes its background jobs ignore Ctrl-C, and this process would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while len(pids := [p.name for p in (tmp_path / "pids").glob("[0-9]*")]) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    said = parent.communicate(timeout=30)[1]
    assert parent.returncode == 130
    assert "Interrupted. To resume: endless.py" in said and "Traceback" not in said
    assert "absl" not in said and "oneDNN" not in said
    assert not [pid for pid in pids if Path("/proc", pid).exists()]
