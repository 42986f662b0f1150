"""Ray as an executor: tasks that run in processes on one machine can run on many machines.

Only ``--ray`` uses this module, and Ray is not imported without it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import ParamSpec, TypeVar

# How often a task is run again after its worker or node was lost.
RETRIES = 3
# Prefixes of the environment variables that a worker gets from the driver.
_PASSED_ON = ("KERAS_", "RESBUILDER_", "TF_")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class RayExecutor(Executor):
    """An executor that runs functions on a Ray cluster, each on a node with enough resources.

    Functions and their arguments are pickled. Files have the same paths on every node, so the
    working folder must be on a shared file system. If a worker is killed or a node is lost, its
    tasks are run again, up to three times; so tasks must be repeatable.

    Args:
        address: ``HOST:PORT`` of a cluster that this machine belongs to, or ``"local"`` for an
            embedded Ray, which listens on the loopback interface only and ends with the executor.
        workers: Number of tasks at a time in an embedded Ray; ignored for a cluster.
        cores: Cores per task.
        gpus: GPUs per task, which may be a fraction. A task sees only these, and none if 0.
        memory: GiB per task, from which Ray decides how many tasks fit on a node; not enforced.

    Raises:
        ValueError: If Ray is not installed, no cluster answers, or no node has the resources that
            a task needs.

    Example:
        >>> with RayExecutor("local", workers=2) as cluster:
        ...     print(cluster.submit(pow, 2, 10).result())
        1024
    """

    def __init__(
        self,
        address: str,
        workers: int = 1,
        *,
        cores: int = 1,
        gpus: float = 0,
        memory: float = 1,
    ):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address == "local":
            # Ray's own switch for systems on which it must not open ports to other machines: it
            # then uses the loopback interface. Given 127.0.0.1, it would look for another address.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        try:
            import ray
        except ImportError:
            raise ValueError("--ray needs Ray: pip install 'resbuilder[ray]'") from None
        variables = {name: os.environ[name] for name in os.environ if name.startswith(_PASSED_ON)}
        path = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables["PYTHONPATH"] = os.pathsep.join(path)
        if gpus == 0:
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        options = {"num_cpus": workers * cores, "include_dashboard": False}
        if address != "local":
            _check(address)
            options = {}
        try:
            ray.init(
                address,
                **options,
                runtime_env={"env_vars": variables},
                logging_level="ERROR",
                log_to_driver=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Ray at {address} cannot be used: {reason}; if the cluster needs a token, set "
                "RAY_AUTH_MODE=token here too"
            ) from None
        if address == "local" and (ip := ray.util.get_node_ip_address()) != "127.0.0.1":
            ray.shutdown()
            raise ValueError(
                f"an embedded Ray would listen on {ip} instead of the loopback interface, because "
                "Ray was imported before; do not import Ray yourself"
            )
        self._ray = ray
        needs = {"CPU": cores, "GPU": gpus, "memory": memory * 2**30}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(has.get(key, 0) >= needs[key] for key in needs) for has in nodes):
            ray.shutdown()
            raise ValueError(
                f"no node of the Ray at {address} has the {cores:g} cores, {gpus:g} GPUs and "
                f"{memory:g} GiB of memory that each task needs"
            )
        self._remote = ray.remote(_in_folder).options(
            num_cpus=cores, num_gpus=gpus, memory=int(needs["memory"]), max_retries=RETRIES
        )

    def submit(
        self,
        function: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Future[Result]:
        """Submit a task; its future raises what the function raises.

        If the task's worker was lost every time, the future raises
        :class:`concurrent.futures.BrokenExecutor`, as with processes of this machine.
        """
        outer: Future[Result] = Future()
        reference = self._remote.remote(os.getcwd(), function, args, kwargs)
        reference.future().add_done_callback(lambda inner: self._pass_on(inner, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which cancels unfinished tasks. An embedded Ray ends."""
        self._ray.shutdown()

    def _pass_on(self, inner: Future, outer: Future) -> None:
        error = inner.exception()
        if error is None:
            outer.set_result(inner.result())
        elif isinstance(
            cause := getattr(error, "cause", None), self._ray.exceptions.RaySystemError
        ):
            reason = str(cause).splitlines()[0]
            outer.set_exception(
                ValueError(
                    f"a node cannot read its task ({reason}): it needs the same Python, packages "
                    "and checkout as the driver"
                )
            )
        elif cause is not None:
            outer.set_exception(cause)
        else:  # The worker was killed, or its node was lost, every time.
            text = str(error) or type(error).__name__
            outer.set_exception(BrokenExecutor(" ".join(text.split())))


def _check(address: str) -> None:
    """Raise ValueError at once if no Ray answers; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"{address!r} is not the address of a Ray cluster: give HOST:PORT, such as "
            "10.0.0.1:6379, or local for a Ray that this command starts and ends"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray answers at {address}: {error}") from None


def _in_folder(folder: str, function: Callable[..., Result], args: tuple, kwargs: dict) -> Result:
    """Run a function on a node, where relative paths mean the same as for the driver."""
    if not Path(folder).is_dir():
        raise ValueError(
            f"{folder} is not on the node {os.uname().nodename}: every node needs the driver's "
            "folders under the same paths, as on a shared file system"
        )
    os.chdir(folder)
    return function(*args, **kwargs)
