"""Helpers of the benchmarks: alternating pairs of measurements, ratios, and versions."""

import os
import platform
import time
from collections.abc import Callable

import keras
import numpy as np


def pairs(first: Callable, second: Callable, repeats: int) -> np.ndarray:
    """Return the seconds of two functions, measured alternately because a machine's speed drifts.

    Each function goes first in every other pair, so that neither always profits from the other.
    Before that, both are called once, to compile.

    Returns:
        Array (repeats, 2, 2): pair; function; wall and processor seconds.
    """
    first(), second()
    times = np.empty((repeats, 2, 2))
    for turn in range(repeats):
        for which, run in [(0, first), (1, second)][:: 1 - 2 * (turn % 2)]:
            start = np.array([time.perf_counter(), time.process_time()])
            run()
            times[turn, which] = np.array([time.perf_counter(), time.process_time()]) - start
    return times


def quartiles(ratios: np.ndarray) -> str:
    """Format median and quartiles of ratios: ``1.003 (quartiles 0.980 to 1.020)``."""
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{median:.3f} (quartiles {low:.3f} to {high:.3f})"


def versions() -> str:
    """Return one line with versions, backend and number of cores."""
    return (
        f"keras {keras.__version__} on {keras.backend.backend()}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )
