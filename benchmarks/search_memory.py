"""Peak memory of a search after ten architectures, compared with that after two.

    python -m benchmarks.search_memory

It tests whether a search releases its networks. The search runs in this process, over ten
architectures of equal size (ResNet-20, which each MorphNet step scales to the same budget). The
peak of resident memory is recorded after each training. Goal: after the tenth architecture, at most
1.05 times that after the second.
"""

import resource
import tempfile
from pathlib import Path

from benchmarks._measure import versions
from resbuilder import SearchConfig, search
from resbuilder.progress import SearchProgress

ARCHITECTURES, GOAL = 10, 1.05


class _Memory(SearchProgress):
    """Records the peak of resident memory after each training, in MB."""

    def __init__(self):
        super().__init__(3 * ARCHITECTURES)
        self.peaks: list[float] = []

    def trained(self, *outcome) -> None:
        super().trained(*outcome)
        self.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    """Measure and print."""
    config = SearchConfig(
        dataset="digits",
        start="resnet-20",
        epochs=1,
        flops=1e6,
        rounds=ARCHITECTURES - 1,
        insertions=0,
        tau_layer=0.0,
        tau_morphnet=0.0,
        batch_size=32,
    )
    memory = _Memory()
    with tempfile.TemporaryDirectory() as folder:
        search(config, Path(folder, "run"), progress=memory)
    peaks = memory.peaks[2::3]
    print("peak MB after architectures 1 to 10: " + ", ".join(f"{p:.0f}" for p in peaks))
    ratio = peaks[-1] / peaks[1]
    reached = "reached" if ratio <= GOAL else "MISSED"
    print(f"tenth / second {ratio:.3f}, goal <= {GOAL}: {reached}")
    print(versions())


if __name__ == "__main__":
    main()
