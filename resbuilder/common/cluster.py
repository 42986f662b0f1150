"""Ray as an executor: what runs in processes of this machine runs on many machines too.

Everything here is reached with ``--ray`` only, and Ray is not imported without it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import ParamSpec, TypeVar

# How often a task is done again whose worker or node was lost, before it is given up.
RETRIES = 3
# Settings of the environment that a worker needs as the driver has them.
_PASSED_ON = ("KERAS_", "RESBUILDER_", "TF_")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class RayExecutor(Executor):
    """Runs functions on a Ray cluster, each when a node has what a task needs.

    Functions and their arguments are pickled; files are read and written by the same path on every
    node, so the working folder lies in a shared one. A task whose worker was killed, or whose node
    was lost, is done again, up to three times; so it must be one that can be done again.

    Args:
        address: ``HOST:PORT`` of a cluster that this machine is a node of, or ``"local"`` for an
            embedded one, which listens on the loopback interface alone and ends with the executor.
        workers: Cores of an embedded Ray; a cluster counts its own.
        cores: Cores of a task.
        gpus: GPUs of a task, also a part of one. It sees no others, and none when this is 0.
        memory: GiB of a task, by which Ray decides how many fit on a node; nothing enforces it.

    Raises:
        ValueError: If Ray is not installed, no cluster answers, or no node has what a task needs.

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
            # Ray's own switch, for systems where it opens no port to others: it takes the
            # loopback interface. Asked for 127.0.0.1 it would look for another address.
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
                f"Ray at {address} cannot be used: {reason}; a cluster with a token needs "
                "RAY_AUTH_MODE=token here too"
            ) from None
        if address == "local" and (ip := ray.util.get_node_ip_address()) != "127.0.0.1":
            ray.shutdown()
            raise ValueError(
                f"an embedded Ray would listen on {ip}, because Ray was imported before: leave the "
                "import to --ray"
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
        """Hand a task in; its future raises what the function raises.

        A task that was given up raises :class:`concurrent.futures.BrokenExecutor`, as processes
        of this machine do.
        """
        outer: Future[Result] = Future()
        reference = self._remote.remote(os.getcwd(), function, args, kwargs)
        reference.future().add_done_callback(lambda inner: self._pass_on(inner, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster: tasks that are not done end there. An embedded Ray ends."""
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
                    f"a node cannot read its task ({reason}): it needs the Python, the packages "
                    "and the checkout of the driver"
                )
            )
        elif cause is not None:
            outer.set_exception(cause)
        else:  # the worker was killed or its node lost, every time
            text = str(error) or type(error).__name__
            outer.set_exception(BrokenExecutor(" ".join(text.split())))


def _check(address: str) -> None:
    """Refuse at once an address where nobody listens; Ray itself tries for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"{address!r} is no address of a Ray cluster: give HOST:PORT, such as 10.0.0.1:6379, "
            "or local for a Ray of this command's own"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray answers at {address}: {error}") from None


def _in_folder(folder: str, function: Callable[..., Result], args: tuple, kwargs: dict) -> Result:
    """On a node: paths that do not begin at the root mean what they mean for the driver."""
    if not Path(folder).is_dir():
        raise ValueError(
            f"{folder} is not on the node {os.uname().nodename}: the nodes of a cluster need the "
            "folders of the driver under the same paths, as a shared file system gives them"
        )
    os.chdir(folder)
    return function(*args, **kwargs)
