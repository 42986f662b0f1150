"""Grids of small trainings: done once each, by one process, and nothing lost or mixed."""

import json
import multiprocessing
import time

import pytest

from experiments.jobs import run_all, write
from experiments.restore import restore


def squared(job):
    return {"square": float(job["x"] ** 2), "nothing": float("nan")}


def slow(job):
    with open(job["log"], "a") as log:
        log.write(f"{job['x']}\n")
    time.sleep(0.2)
    return {"x": job["x"]}


def test_jobs_resume_and_refuse_other_settings(tmp_path):
    jobs = {str(n): {"x": n} for n in range(3)}
    assert run_all(squared, jobs, tmp_path, workers=1)["2"] == {"square": 4.0, "nothing": None}
    (tmp_path / "1.json").unlink()
    before = (tmp_path / "2.json").stat().st_mtime_ns
    run_all(squared, jobs, tmp_path, workers=1)
    assert (tmp_path / "1.json").exists()
    assert (tmp_path / "2.json").stat().st_mtime_ns == before
    with pytest.raises(Exception, match="other settings"):
        run_all(squared, {"1": {"x": 7}}, tmp_path, workers=1)


def test_results_that_are_published_need_no_second_measurement(tmp_path):
    jobs = {str(n): {"x": n} for n in range(2)}
    write(tmp_path / "results.json", {"1": {"job": {"x": 1}, "square": 100.0, "nothing": None}})
    assert restore(tmp_path / "results.json", tmp_path / "runs") == 1
    results = run_all(squared, jobs, tmp_path / "runs", workers=1)
    assert [results["0"]["square"], results["1"]["square"]] == [0.0, 100.0]
    assert restore(tmp_path / "results.json", tmp_path / "runs") == 0


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
