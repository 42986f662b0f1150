"""Training images per second with augmented `Batches` against tensors that lie ready.

    python -m benchmarks.input_pipeline [--images 2560] [--repeats 7]

The same network is trained for one epoch at a time, in turn, on (a) `Batches` that shuffle, shift
and flip raw bytes, and (b) the same number of float32 images passed to `fit` as arrays, unshuffled.
A CIFAR-sized ResNet, batch 128. The ratio (a)/(b) is taken pair by pair, because the machine's
speed drifts; the goal is a median of at least 0.95. What one batch costs to make is printed too:
on a faster device that is the time a training step must hide.
"""

import argparse
import os
import platform
import statistics
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
    parser.add_argument("--images", type=int, default=20 * BATCH, help="images per epoch")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of epochs")
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

    def rate(*data, **options) -> float:
        start = time.perf_counter()
        model.fit(*data, shuffle=False, verbose=0, **options)
        return settings.images / (time.perf_counter() - start)

    def augmented() -> float:
        return rate(batches)

    def cached() -> float:
        return rate(ready, labels, batch_size=BATCH)

    augmented(), cached()  # compile
    pairs = []
    for turn in range(settings.repeats):
        # Each goes first in every other pair, so that neither always profits from the other.
        if turn % 2:
            second, first = cached(), augmented()
        else:
            first, second = augmented(), cached()
        pairs.append((first, second))
        print(f"pair {turn + 1}: {first:7.0f} {second:7.0f} images/s, ratio {first / second:.3f}")

    start = time.perf_counter()
    for b in range(len(batches)):
        batches[b]
    making = (time.perf_counter() - start) / len(batches)

    ratios = [first / second for first, second in pairs]
    ratio = statistics.median(ratios)
    print(
        f"augmented {statistics.median(p[0] for p in pairs):.0f}, "
        f"cached {statistics.median(p[1] for p in pairs):.0f} images/s (medians); "
        f"ratio {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}), goal >= {GOAL}: "
        f"{'reached' if ratio >= GOAL else 'MISSED'}"
    )
    print(f"making one augmented batch of {BATCH}: {1000 * making:.2f} ms")
    print(
        f"keras {keras.__version__} on {keras.backend.backend()}, numpy {np.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
