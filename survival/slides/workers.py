"""Run each task in a separate process, so that a crash or a hang affects only that task."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # not every system has both
    from multiprocessing.context import ForkServerContext, SpawnContext

    Context: TypeAlias = ForkServerContext | SpawnContext

# The least time between two reports of progress, in seconds.
_INTERVAL = 0.2
# Memory limit of a task in bytes; the largest canvas needs a third of it.
MEMORY = 4 * 2**30
# The disk or the user's quota is full, so all other tasks would fail as well.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_isolated(
    function: Callable[[Any, Callable[[int, int], None]], Any],
    tasks: Sequence,
    workers: int,
    timeout: float,
) -> Generator[tuple[int, str, Any], None, None]:
    """Run a function on every task, each in a separate process.

    Args:
        function: Called with a task and a function ``report(done, total)``. It must be defined in
            a module, because another process imports it.
        tasks: The tasks that the function is called with.
        workers: Number of processes at the same time.
        timeout: Seconds without a report after which a process is ended.

    Yields:
        The index of a task, a kind and a value: ``"progress"`` with a fraction in [0, 1],
        ``"done"`` with the function's result, ``"failed"`` with the reason, or ``"no room"`` with
        the reason if the disk is full. Closing the iterator ends the running processes.
    """
    context = _context(function.__module__)
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Connection, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                worker = _Worker(context, function, *waiting.pop())
                running[worker.connection] = worker
            first = min(worker.last for worker in running.values()) + timeout
            ready = wait(list(running), max(0, first - time.monotonic()))
            for connection in [one for one in running if one in ready]:
                worker = running[connection]
                kind, value = worker.receive()
                yield worker.index, kind, value
                if kind != "progress":
                    worker.end()
                    del running[connection]
            for connection, worker in list(running.items()):
                if time.monotonic() - worker.last > timeout and not connection.poll():
                    worker.end()
                    del running[connection]
                    yield worker.index, "failed", f"timed out: no progress for {timeout:g} seconds"
    finally:
        for worker in running.values():
            worker.end()


class _Worker:
    """A process with a task, and the time of its last message."""

    def __init__(self, context: Context, function: Callable, index: int, task: Any):
        self.index = index
        self.connection, remote = context.Pipe()
        self.process = context.Process(target=_work, args=(remote, function, task), daemon=True)
        with _without_main():
            self.process.start()
        remote.close()
        self.last = time.monotonic()

    def receive(self) -> tuple[str, Any]:
        self.last = time.monotonic()
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            return "failed", _end_of(self.process.exitcode)

    def end(self) -> None:
        self.process.kill()
        # With a limit: a process that waits for an unavailable network disk cannot be killed.
        self.process.join(5)
        self.connection.close()


def _context(module: str) -> Context:
    """Return a context whose processes are forked from a server that has loaded only the module."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Prevent a process started in this context from importing the main program.

    It does not need the program, which might import a whole backend again for every task.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(connection: Connection, function: Callable, task: Any) -> None:
    """Run the task and send its result; executed in the new process, which ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
    _limit_memory()
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    reported = 0.0

    def report(done: int, total: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > _INTERVAL:
            reported = time.monotonic()
            connection.send(("progress", done / total))

    try:
        message = "done", function(task, report)
    except ValueError as error:
        message = "failed", str(error)
    except OSError as error:
        kind = "no room" if error.errno in NO_ROOM else "failed"
        message = kind, (error.strerror or str(error)).lower()
    except MemoryError:
        message = "failed", f"out of memory (the limit is {MEMORY / 2**30:g} GiB per slide)"
    except Exception as error:
        message = "failed", f"{type(error).__name__}: {error}"
    connection.send(message)


def _limit_memory() -> None:
    """Limit the memory of this process, so that the system does not kill other processes.

    A damaged file may claim to be huge. The limit needs /proc; without it, memory is not limited.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))


def _end_with_parent(connection: Connection) -> None:
    """End this process when the parent ends.

    The parent never sends anything, so receiving returns only when its end is closed.
    """
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


def _end_of(exitcode: int | None) -> str:
    # Windows has no such exit codes, nor SIGKILL.
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        if name == "SIGKILL":
            return "its process was killed (SIGKILL), probably because the system ran out of memory"
        return f"the decoder crashed ({name})"
    return f"its process ended without a result (exit status {exitcode})"
