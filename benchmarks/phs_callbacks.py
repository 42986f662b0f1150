"""Time of a training with goal-oriented braking and the energy log, compared with one without.

    KERAS_BACKEND=tensorflow python -m benchmarks.phs_callbacks [--repeats 15]

LeNet is trained with PHS by `fit` on the same random images, with batches of 32, alternately with
the two callbacks (energies every 50 steps) and without callbacks, on the current backend. Goal: at
most 1.02 times the time. Part of the overhead is due to Keras: with any callback after each step,
it waits for the loss of the step. Therefore the ratio to a training with an idle callback is also
printed.
"""

import argparse

import keras
import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from experiments.phs.lenet import lenet
from phs_optimizer import PHS, EnergyLogger, GoalOrientedBraking

BATCH, STEPS = 32, 100
GOAL = 1.02


class Idle(keras.callbacks.Callback):
    """Does nothing after each step."""

    def on_train_batch_end(self, batch, logs=None):
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help=f"pairs of {STEPS} steps")
    repeats = parser.parse_args().repeats

    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, len(x))

    def trained(*callbacks):
        model = lenet((28, 28, 1), seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(PHS(learning_rate=0.05, mass=0.5, friction=1.0), loss)
        # A new list for each fit, because Keras appends to it.
        return lambda: model.fit(
            x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=list(callbacks)
        )

    braking = GoalOrientedBraking(target=0.999, factor=10, verbose=0)
    both = trained(braking, EnergyLogger(every=50))
    for name, other in {"no callback": trained(), "an idle callback": trained(Idle())}.items():
        times = pairs(both, other, repeats)
        ratios = times[:, 0] / times[:, 1]
        mine, peer = 1e3 * np.median(times[:, :, 0], axis=0) / STEPS
        reached = "reached" if np.median(ratios[:, 0]) <= GOAL else "MISSED"
        print(f"LeNet, batch {BATCH}: {mine:.3f} ms a step with both callbacks, ", end="")
        print(f"{peer:.3f} ms with {name} (medians)")
        print(f"  ratio {quartiles(ratios[:, 0])}, goal <= {GOAL}: {reached}")
        print(f"  ratio in processor time {quartiles(ratios[:, 1])}", flush=True)
    print(versions())


if __name__ == "__main__":
    main()
