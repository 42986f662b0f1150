"""Whether a search releases its networks: peak memory after two architectures and after ten.

    python -m benchmarks.search_memory

A search of ten architectures runs in this process; after each training the resident memory is
noted. Goal: no more at the tenth architecture than at the second, within the spread of a few MB
that the allocator makes. The networks are of equal size (insertions into a network that MorphNet
keeps within the budget), so growth means that something is not released.
"""

import tempfile
from pathlib import Path

import psutil

from benchmarks._measure import versions
from resbuilder import SearchConfig, search
from resbuilder.progress import SearchProgress

GOAL = 1.05


class _Memory(SearchProgress):
    """Notes the resident memory after each training."""

    def __init__(self, trainings: int):
        super().__init__(trainings)
        self.megabytes: list[float] = []

    def trained(self, what: str, record: dict) -> None:
        super().trained(what, record)
        self.megabytes.append(psutil.Process().memory_info().rss / 1e6)


def main() -> None:
    """Measure and print."""
    config = SearchConfig(
        dataset="digits", epochs=1, width=16, flops=1e6, rounds=9, insertions=0, batch_size=32
    )
    memory = _Memory(30)
    with tempfile.TemporaryDirectory() as folder:
        search(config, Path(folder, "run"), progress=memory)
    peaks = [max(memory.megabytes[3 * i : 3 * i + 3]) for i in range(10)]
    print("resident memory after architecture 1 to 10: " + ", ".join(f"{p:.0f}" for p in peaks))
    ratio = peaks[9] / peaks[1]
    reached = "reached" if ratio <= GOAL else "MISSED"
    print(f"tenth / second {ratio:.3f}, goal <= {GOAL}: {reached}")
    print(versions())


if __name__ == "__main__":
    main()
