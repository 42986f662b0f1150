"""Each task in a process of its own: one that crashes or hangs ends alone."""

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

# How long a message about progress may wait for the next, in seconds.
_INTERVAL = 0.2
# What a task may take, in bytes: the largest canvas needs a third of it.
MEMORY = 4 * 2**30
# No room to write, on the disk or in the user's share of it: other tasks would end the same way.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_isolated(
    function: Callable[[Any, Callable[[int, int], None]], Any],
    tasks: Sequence,
    workers: int,
    timeout: float,
) -> Generator[tuple[int, str, Any], None, None]:
    """Run a function on every task, each in a process of its own.

    Args:
        function: Called with a task and a function to report progress with (done, total); defined
            in a module, because another process imports it.
        tasks: What it is called with.
        workers: Processes at the same time.
        timeout: Seconds without a report after which a process is ended.

    Yields:
        Index of a task, and ``"progress"`` with a share in [0, 1], ``"done"`` with what the
        function returned, ``"failed"`` with the reason, or ``"no room"`` with the reason where
        nothing can be written. The processes still running are ended when the iterator is closed.
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
                    yield worker.index, "failed", f"it hangs: no progress for {timeout:g} seconds"
    finally:
        for worker in running.values():
            worker.end()


class _Worker:
    """A process with a task, and when it was last heard of."""

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
        # Not for ever: a process that waits for a dead network disk cannot even be killed.
        self.process.join(5)
        self.connection.close()


def _context(module: str) -> Context:
    """Processes that start as copies of one in which only the module is loaded: fast and clean."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A process that is started here does not import the program that calls this.

    It has no use for it, and the program may import a whole backend, again for every task.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(connection: Connection, function: Callable, task: Any) -> None:
    """In the new process: run the task, report, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides.
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
        message = "failed", f"out of memory, of which it may take {MEMORY / 2**30:g} GiB"
    except Exception as error:
        message = "failed", f"{type(error).__name__}: {error}"
    connection.send(message)


def _limit_memory() -> None:
    """A file that claims to be huge fails alone, before the system ends whatever it likes.

    Only where there is /proc; elsewhere there is no limit.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))


def _end_with_parent(connection: Connection) -> None:
    """Nothing is ever sent here: receiving ends when the parent does, whatever ended it."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


def _end_of(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "its process was killed from outside, as systems do when memory runs out (SIGKILL)"
    if exitcode is not None and exitcode < 0:
        return f"the decoder crashed ({signal.Signals(-exitcode).name})"
    return f"its process ended without a result (exit status {exitcode})"
