"""Memory and time of training the network of chapter 7 on the thesis' canvases.

    python -m benchmarks.survival_step [--batch 5 --batch 64] [--dtype mixed_bfloat16]

Every batch size is a training by ``survival.training.train`` in a separate process, with its
defaults: real tissue on canvases of 2500 × 2000 pixels from PNG files, forward and backward passes
in micro-batches of one slide, and Adam. The whole batch is one risk set, regardless of the
micro-batches. Goal: at most 5 GiB for a batch of 5, and the same for a batch of 64.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from benchmarks._measure import versions
from survival.cohort import Cohort
from survival.slides import preprocess_slide
from survival.training import TrainingSettings, train

SLIDE = Path(__file__).parents[1] / "tests/fixtures/slides/CMU-1-Small-Region.svs"
CANVAS, GOAL = (2500, 2000), 5.0


class Clock(keras.callbacks.Callback):
    """Prints the seconds of every step, and the peak of resident memory."""

    def __init__(self):
        super().__init__()
        self.seconds, self.began = [], 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self.began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  step {batch + 1}: {self.seconds[-1]:.1f} s, peak {peak:.2f} GiB", flush=True)


def measure(size: int, dtype: str, steps: int) -> None:
    """Train some steps, and print time and memory."""
    n = size * steps
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        images.mkdir()
        canvas = np.array(preprocess_slide(SLIDE, downsample=1.5, canvas=CANVAS).image)
        for i in range(n):
            canvas[0, 0] = i % 256, i // 256, 0  # copies of one slide are refused
            Image.fromarray(canvas).save(images / f"{i}.png", compress_level=1)
        names = np.array([f"{i}.svs" for i in range(n)])
        split = np.full(n, "train")
        cohort = Cohort(
            names, names, random.exponential(size=n), np.arange(n) % 2 == 0, split=split
        )
        clock = Clock()
        settings = TrainingSettings(epochs=1, batch_size=size, dtype=dtype)
        try:
            train(cohort, images, Path(folder, "run"), settings, [clock, _Stop(steps)])
        except KeyboardInterrupt:
            pass  # before train() predicts all slides


class _Stop(keras.callbacks.Callback):
    """Ends a training after some steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.steps:
            raise KeyboardInterrupt


def main() -> None:
    """Measure every batch size in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--batch", type=int, action="append", help="batch size, repeatable (default: 5 and 64)"
    )
    parser.add_argument(
        "--dtype", default="mixed_bfloat16", help="dtype of the training (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=2, help="steps (default: %(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for size in given.batch or (5, 64):
        if given.here:
            measure(size, given.dtype, given.steps)
            continue
        print(f"batch {size}, {given.dtype}:", flush=True)
        module = [sys.executable, "-m", "benchmarks.survival_step", "--here"]
        options = ["--batch", size, "--dtype", given.dtype, "--steps", given.steps]
        process = subprocess.Popen([*module, *map(str, options)])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))
        peak = usage.ru_maxrss / 2**20
        reached = "reached" if peak <= GOAL else "MISSED"
        print(f"  peak {peak:.2f} GiB, goal <= {GOAL} GiB: {reached}", flush=True)
    if not given.here:
        print(versions())


if __name__ == "__main__":
    main()
