"""Training images per second with augmented `Batches` against tensors that lie ready.

    python -m benchmarks.input_pipeline [--images 1280] [--repeats 15]

The same network is trained for one epoch at a time, in turn, on (a) `Batches` that shuffle, shift
and flip raw bytes, and (b) the same number of float32 images passed to `fit` as arrays, unshuffled.
A CIFAR-sized ResNet, batch 128. The ratio (a)/(b) is taken pair by pair, because the machine's
speed drifts; the goal is a median of at least 0.95. Two more numbers bear on it: the same ratio in
processor time, which other programs on the machine disturb less, and what one batch costs to make,
which is the time a training step on a faster device must hide.
"""

import argparse
import os
import platform
import time

import keras
import numpy as np

from resbuilder import build_model, resnet_architecture
from resbuilder.datasets import Augmentation, Batches

BATCH = 128
GOAL = 0.95


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10 * BATCH, help="images per epoch")
    parser.add_argument("--repeats", type=int, default=15, help="pairs of epochs")
    settings = parser.parse_args()

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (settings.images, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, settings.images)
    batches = Batches(raw, labels, batch_size=BATCH, shuffle=True, augment=Augmentation())
    ready = raw.astype(np.float32)

    model = build_model(
        resnet_architecture(
            input_shape=(32, 32, 3), classes=10, widths=(16, 32, 64), blocks=(1, 1, 1), stem="small"
        )
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)

    def epoch(*data, **options) -> np.ndarray:
        """Returns wall and processor seconds of one epoch."""
        start = np.array([time.perf_counter(), time.process_time()])
        model.fit(*data, shuffle=False, verbose=0, **options)
        return np.array([time.perf_counter(), time.process_time()]) - start

    def augmented() -> np.ndarray:
        return epoch(batches)

    def cached() -> np.ndarray:
        return epoch(ready, labels, batch_size=BATCH)

    augmented(), cached()  # compile
    times = np.empty((settings.repeats, 2, 2))  # pair, (augmented, cached), (wall, processor)
    for turn in range(settings.repeats):
        # Each goes first in every other pair, so that neither always profits from the other.
        for which, run in [(0, augmented), (1, cached)][:: 1 - 2 * (turn % 2)]:
            times[turn, which] = run()
        first, second = settings.images / times[turn, :, 0]
        print(f"pair {turn + 1}: {first:7.0f} {second:7.0f} images/s, ratio {first / second:.3f}")

    start = time.perf_counter()
    for b in range(len(batches)):
        batches[b]
    making = (time.perf_counter() - start) / len(batches)

    ratio, processor = np.median(times[:, 1] / times[:, 0], axis=0)
    low, high = np.quantile(times[:, 1, 0] / times[:, 0, 0], [0.25, 0.75])
    first, second = settings.images / np.median(times[:, :, 0], axis=0)
    print(
        f"augmented {first:.0f}, cached {second:.0f} images/s (medians); ratio {ratio:.3f} "
        f"(quartiles {low:.3f} to {high:.3f}), goal >= {GOAL}: "
        f"{'reached' if ratio >= GOAL else 'MISSED'}; in processor time {processor:.3f}"
    )
    print(f"making one augmented batch of {BATCH}: {1000 * making:.2f} ms")
    print(
        f"keras {keras.__version__} on {keras.backend.backend()}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
