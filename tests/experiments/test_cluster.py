"""Grids on Ray and in processes lose workers and nodes midway, but no results."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from experiments.jobs import run_all
from resbuilder.common.cluster import RayExecutor
from resbuilder.common.processes import visible_gpus

# It is not imported here, because the tested executor imports it.
if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install 'resbuilder[ray]'", allow_module_level=True)
ROOT = Path(__file__).parents[2]


def counted(job):
    """Write a line at the start and one at the end, with the process."""
    for what in ("begins", "ends"):
        with open(job["log"], "a") as log:
            log.write(f"{job['x']} {what} {os.getpid()}\n")
        time.sleep(job["seconds"])
    result = {"square": job["x"] ** 2, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}
    result |= {"strategy": job["strategy"]}
    return result | ({"loss": trained()} if job.get("training") else {})


def trained():
    """Return the loss of a linear fit after four steps, from a seed."""
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 3))
    return model.fit(x, x.sum(axis=1), batch_size=8, verbose=0).history["loss"][-1]


def killed_once(job):
    """Kill this process the first time, as systems do when memory runs out."""
    seen = Path(job["seen"])
    if not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"x": job["x"]}


def killed_always(job):
    os.kill(os.getpid(), signal.SIGKILL)


def refused(job):
    raise ValueError("a value out of range")


@pytest.mark.parametrize(
    "address, message", [("127.0.0.1:9", "no Ray answers"), ("cluster", "HOST:PORT")]
)
def test_an_address_without_ray_is_rejected_in_one_line(address, message, tmp_path):
    script = ("-m", "experiments.phs.readings", "--ray", address, "--out", str(tmp_path))
    done = subprocess.run([sys.executable, *script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def jobs_of(folder, number, seconds=0.0):
    log = str(folder / "log")
    return {str(n): {"x": n, "log": log, "seconds": seconds} for n in range(number)}


@pytest.mark.slow
def test_an_embedded_ray_gives_the_results_of_processes_and_listens_on_loopback_only(tmp_path):
    before = {process.pid for process in psutil.process_iter()}
    listening = []

    def local():
        executor = RayExecutor("local", workers=2, gpus=0)
        new = [p for p in psutil.process_iter() if p.pid not in before]
        for process in (psutil.Process(), *new):
            try:
                connections = process.net_connections("inet")
            except psutil.Error:  # it has ended
                continue
            listening.extend(c.laddr.ip for c in connections if c.status == "LISTEN")
        return executor

    jobs = jobs_of(tmp_path, 4)
    results = run_all(counted, jobs, tmp_path / "ray", 2, cluster=local)
    expected = {"gpus": "-1", "strategy": "one_device"}
    assert results == {str(n): {"square": n**2} | expected for n in range(4)}
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}
    kept = [json.loads((tmp_path / "ray" / f"{n}.json").read_text()) for n in range(4)]
    assert [entry["job"] for entry in kept] == list(jobs.values())


@pytest.mark.faults
@pytest.mark.parametrize("engine", ["processes", "ray"])
@pytest.mark.slow
def test_a_killed_worker_costs_a_second_try_but_no_result(engine, tmp_path):
    cluster = (lambda: RayExecutor("local", 1)) if engine == "ray" else None
    jobs = {str(n): {"x": n, "seen": str(tmp_path / f"seen{n % 2}")} for n in range(3)}
    results = run_all(killed_once, jobs, tmp_path / "runs", 1, cluster=cluster)
    assert [result["x"] for result in results.values()] == [0, 1, 2]


@pytest.mark.faults
@pytest.mark.slow
def test_a_job_that_is_always_killed_is_given_up_with_its_name(tmp_path):
    with pytest.raises(Exception, match="killed repeatedly while hungry"):
        run_all(killed_always, {"hungry": {}}, tmp_path, 1)


@pytest.mark.slow
def test_each_process_sees_one_gpu_and_a_mirrored_one_all(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    results = run_all(counted, jobs_of(tmp_path, 4, 0.2), tmp_path / "runs", 2)
    assert {result["gpus"] for result in results.values()} == {"2", "5"}
    mirrored = run_all(counted, jobs_of(tmp_path, 2), tmp_path / "all", 2, strategy="mirrored")
    assert {(r["gpus"], r["strategy"]) for r in mirrored.values()} == {("2, 5", "mirrored")}
    assert {r["strategy"] for r in results.values()} == {"one_device"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("said", "status", "gpus"),
    [("0\n1\n", 0, ["0", "1"]), ("NVIDIA-SMI has failed because", 9, []), ("No devices", 0, [])],
)
def test_the_gpus_are_those_that_a_working_driver_lists(tmp_path, monkeypatch, said, status, gpus):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}'\nexit {status}\n".replace("\n1", "\\n1"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == gpus


GRID = """
import sys
from pathlib import Path
from experiments.jobs import run_all
from resbuilder.common.cluster import RayExecutor
from tests.experiments.test_cluster import counted, jobs_of

folder, address = Path(sys.argv[1]), sys.argv[2]
jobs = jobs_of(folder, 24, 0.4)
for name in ("0", "23"):
    jobs[name] |= {"training": True}
run_all(counted, jobs, folder / "runs", 1, cluster=lambda: RayExecutor(address))
"""


@pytest.fixture(scope="module")
def nodes():
    """Yield a cluster on the loopback interface: a head without cores, and a way to add nodes."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster.add_node(num_cpus=0, **small)
    yield lambda cores: cluster.add_node(num_cpus=cores, **small), cluster
    cluster.shutdown()


def lines(log):
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.05)


@pytest.mark.faults
@pytest.mark.slow
def test_a_node_killed_amid_a_grid_loses_no_result_and_leaves_no_half_written_file(nodes, tmp_path):
    add, cluster = nodes
    doomed = add(1)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", GRID, str(tmp_path), cluster.address]
    grid = subprocess.Popen(command, cwd=tmp_path, env=environment)
    log = tmp_path / "log"
    try:
        wait_for(lambda: len(lines(log)) > 4)  # so all of them are of the doomed node
        add(2)
        lost = {pid for _, _, pid in lines(log)}
        cluster.remove_node(doomed, allow_graceful=False)  # SIGKILL to all its processes
        assert grid.wait(600) == 0
    finally:
        grid.kill()
    ended = [x for x, what, _ in lines(log) if what == "ends"]
    assert {pid for _, _, pid in lines(log)} > lost, "no other node has done a job"
    entries = [json.loads((tmp_path / "runs" / f"{n}.json").read_text()) for n in range(24)]
    assert [entry["result"]["square"] for entry in entries] == [n**2 for n in range(24)]
    assert entries[0]["result"]["loss"] == entries[23]["result"]["loss"] > 0
    assert set(ended) == {str(n) for n in range(24)}
    assert {path.suffix for path in (tmp_path / "runs").iterdir() if path.is_file()} == {".json"}
    # Only the running jobs of the lost node have started twice.
    begun = [x for x, what, _ in lines(log) if what == "begins"]
    assert len(begun) - len(set(begun)) <= 1
