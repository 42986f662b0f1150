"""Training images per second with shuffling and augmentation, compared with prepared tensors.

    python -m benchmarks.input_pipeline [--images 1280] [--repeats 15]

The same CIFAR-sized ResNet is trained with batches of 128 for one epoch at a time, alternately on
(a) raw bytes that the trainer shuffles, shifts and mirrors, and (b) the same number of float32
images passed to `fit` as arrays, without shuffling. The ratio (a)/(b) is computed for each pair,
because the machine's speed drifts. Goal: a median of at least 0.95 in processor time, which other
programs on the machine disturb less. On TensorFlow, (a) is part of the training step. On other
backends, batches are made separately; the time to make one is printed, too.
"""

import argparse
import time

import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from resbuilder import TrainConfig, resnet_architecture
from resbuilder.datasets import Augmentation, Batches, Dataset, Preprocessing, Split
from resbuilder.training import Trainer, TrainingData

BATCH, CLASSES = 128, 10
GOAL = 0.95


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10 * BATCH, help="images per epoch")
    parser.add_argument("--repeats", type=int, default=15, help="pairs of epochs")
    given = parser.parse_args()

    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (given.images + CLASSES, 32, 32, 3), np.uint8)
    labels = np.arange(len(raw)) % CLASSES
    dataset = Dataset("noise", raw, labels, raw[:CLASSES], labels[:CLASSES], None)
    split = Split(np.arange(given.images), np.arange(given.images, len(raw)))
    data = TrainingData(dataset, split, Preprocessing.fit(raw, dataset.scaling))
    architecture = resnet_architecture(
        input_shape=(32, 32, 3),
        classes=CLASSES,
        widths=(16, 32, 64),
        blocks=(1, 1, 1),
        stem="small",
    )
    config = TrainConfig(dataset="noise", batch_size=BATCH)
    trainer = Trainer(architecture, data, config, 0, regularized=False)
    fed, callbacks = trainer.shuffled(seed=0)
    ready = raw[: given.images].astype(np.float32)

    def augmented():
        trainer.model.fit(fed, callbacks=callbacks, shuffle=False, verbose=0)

    def cached():
        trainer.model.fit(ready, labels[: given.images], batch_size=BATCH, shuffle=False, verbose=0)

    times = pairs(augmented, cached, given.repeats)
    speeds = times[:, 1] / times[:, 0]

    batches = Batches(raw, labels, batch_size=BATCH, shuffle=True, augment=Augmentation())
    start = time.process_time()
    for b in range(len(batches)):
        batches[b]
    making = (time.process_time() - start) / len(batches)

    first, second = given.images / np.median(times[:, :, 1], axis=0)
    reached = "reached" if np.median(speeds[:, 1]) >= GOAL else "MISSED"
    print(f"augmented {first:.0f}, cached {second:.0f} images per processor second (medians)")
    print(f"ratio in processor time {quartiles(speeds[:, 1])}, goal >= {GOAL}: {reached}")
    print(f"ratio {quartiles(speeds[:, 0])}")
    print(f"making one augmented batch of {BATCH} with numpy: {1000 * making:.2f} ms")
    print(versions())


if __name__ == "__main__":
    main()
