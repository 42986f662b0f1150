"""Peak memory of the processes that work on slides."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil


class PeakMemory:
    """The largest memory of a child process while a block runs.

    Linux records the peak of every process (VmHWM), so only the last milliseconds of a process are
    missed. On other systems, memory is sampled.

    Attributes:
        bytes: The peak of the largest process.
        slide: A slide that this process had open.
    """

    def __init__(self):
        self.bytes, self.slide = 0, "a slide"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                try:
                    taken = _peak(process)
                    if taken > self.bytes:
                        self.bytes = taken
                        names = [Path(f.path).name for f in process.open_files()]
                        self.slide = next((n for n in names if n[:3].isdigit()), self.slide)
                except (psutil.Error, OSError):
                    continue


def _peak(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return process.memory_info().rss
    lines = status.read_text().splitlines()
    return max((1024 * int(n.split()[1]) for n in lines if n.startswith("VmHWM")), default=0)
