"""Time of a training step with MorphNet's and LayerLasso's terms, compared with one without.

    python -m benchmarks.training_step [--repeats 15]

The same CIFAR-sized ResNet is trained on the same batches of 128 images, alternately with the
cross-entropy alone and with both terms in the loss. Goal: at most 1.05 times the time.
"""

import argparse

import keras
import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from resbuilder import LayerLasso, build_model, resnet_architecture
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.training import RegularizedModel

BATCH, STEPS = 128, 5
GOAL = 1.05


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help=f"pairs of {STEPS} steps")
    repeats = parser.parse_args().repeats

    architecture = resnet_architecture((32, 32, 3), 10, (16, 32, 64), (3, 3, 3), "small")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, len(x))

    def trained(regularized: bool):
        network = build_model(architecture, seed=0)
        model = network
        if regularized:
            lasso = LayerLasso(network, architecture.block_convolutions())
            morphnet = MorphNetRegularizer(network)
            model = RegularizedModel(
                network,
                {
                    "morphnet": morphnet.regularization_term,
                    "layer_lasso": lasso.regularization_term,
                },
            )
            model.set_strengths(morphnet=1e-7, layer_lasso=1e-8)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)
        return lambda: model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

    times = pairs(trained(True), trained(False), repeats)
    ratios = times[:, 0] / times[:, 1]
    with_terms, without = 1e3 * np.median(times[:, :, 0], axis=0) / STEPS
    reached = "reached" if np.median(ratios[:, 0]) <= GOAL else "MISSED"
    print(f"ResNet-20, 32×32×3, batch {BATCH}: {with_terms:.0f} ms a step with the terms, ", end="")
    print(f"{without:.0f} ms without")
    print(f"ratio {quartiles(ratios[:, 0])}, goal <= {GOAL}: {reached}")
    print(f"ratio in processor time {quartiles(ratios[:, 1])}")
    print(versions())


if __name__ == "__main__":
    main()
