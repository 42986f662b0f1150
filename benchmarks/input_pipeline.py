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
import time

import keras
import numpy as np

from benchmarks._measure import pairs, quartiles, versions
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

    def augmented():
        model.fit(batches, shuffle=False, verbose=0)

    def cached():
        model.fit(ready, labels, batch_size=BATCH, shuffle=False, verbose=0)

    times = pairs(augmented, cached, settings.repeats)
    speeds = times[:, 1] / times[:, 0]

    start = time.perf_counter()
    for b in range(len(batches)):
        batches[b]
    making = (time.perf_counter() - start) / len(batches)

    first, second = settings.images / np.median(times[:, :, 0], axis=0)
    reached = "reached" if np.median(speeds[:, 0]) >= GOAL else "MISSED"
    print(f"augmented {first:.0f}, cached {second:.0f} images/s (medians)")
    print(f"ratio {quartiles(speeds[:, 0])}, goal >= {GOAL}: {reached}")
    print(f"ratio in processor time {quartiles(speeds[:, 1])}")
    print(f"making one augmented batch of {BATCH}: {1000 * making:.2f} ms")
    print(versions())


if __name__ == "__main__":
    main()
