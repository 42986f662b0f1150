"""Time and memory of a step of PHS, compared with `keras.optimizers.SGD` with the same motion.

    KERAS_BACKEND=tensorflow python -m benchmarks.phs_step [--repeats 15]

PHS and SGD with momentum are measured alternately on the current backend: (a) the optimizer alone,
on given gradients, compiled as by `fit` (TensorFlow, JAX) or eager (torch), for the weights of
LeNet and ResNet-18; (b) the whole training step of LeNet in `fit`, with batches of 32. Goal: at
most 1.05 times the time, and the same memory, one number per weight.
"""

import argparse
import math

import keras
import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from experiments.phs.lenet import lenet
from phs_optimizer import PHS
from resbuilder import build_model, resnet_architecture

BATCH, STEPS = 32, 100
GOAL = 1.05


def phs() -> keras.Optimizer:
    """Return PHS in its default form, with mass 0.5."""
    return PHS(learning_rate=0.05, mass=0.5, friction=1.0)


def sgd() -> keras.Optimizer:
    """Return SGD with the same motion: learning rate α²/m, momentum 1 − αγ/m."""
    return keras.optimizers.SGD(learning_rate=0.005, momentum=0.9)


def applied(optimizer: keras.Optimizer, shapes: list[tuple], steps: int):
    """Return a function that makes ``steps`` optimizer steps on weights of these shapes."""
    rng = np.random.default_rng(0)

    def numbers(shape):
        return rng.normal(size=shape).astype("float32")

    weights = [keras.Variable(numbers(shape)) for shape in shapes]
    gradients = [keras.ops.convert_to_tensor(numbers(shape)) for shape in shapes]
    optimizer.build(weights)
    if keras.backend.backend() == "jax":
        import jax

        # As in Keras' trainer: stateless, and the old arrays are donated.
        step = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
        state = [[v.value for v in optimizer.variables], [v.value for v in weights]]

        def run():
            for _ in range(steps):
                state[1], state[0] = step(state[0], gradients, state[1])
            jax.block_until_ready(state)

        return run

    def step():
        optimizer.apply(gradients, weights)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(step)

    def run():
        for _ in range(steps):
            step()

    return run


def fitted(optimizer: keras.Optimizer):
    """Return a function that trains LeNet for an epoch of ``STEPS`` steps on random images."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, len(x))
    model = lenet((28, 28, 1), seed=0)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return lambda: model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def slots(optimizer: keras.Optimizer, shapes: list[tuple]) -> int:
    """Return the bytes of the optimizer's variables for weights of these shapes."""
    optimizer.build([keras.Variable(np.zeros(shape, "float32")) for shape in shapes])
    return sum(
        math.prod(v.shape) * np.dtype(keras.backend.standardize_dtype(v.dtype)).itemsize
        for v in optimizer.variables
    )


def report(what: str, times: np.ndarray, steps: int) -> None:
    """Print milliseconds per step, and the ratios."""
    ratios = times[:, 0] / times[:, 1]
    mine, peer = 1e3 * np.median(times[:, :, 0], axis=0) / steps
    reached = "reached" if np.median(ratios[:, 0]) <= GOAL else "MISSED"
    print(f"{what}: PHS {mine:.3f} ms, SGD {peer:.3f} ms a step (medians)")
    print(f"  ratio {quartiles(ratios[:, 0])}, goal <= {GOAL}: {reached}")
    print(f"  ratio in processor time {quartiles(ratios[:, 1])}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="pairs of measurements")
    repeats = parser.parse_args().repeats

    networks = {
        "LeNet": (lenet((28, 28, 1), seed=0), 200),
        "ResNet-18": (build_model(resnet_architecture((32, 32, 3), 10)), 3),
    }
    for name, (network, steps) in networks.items():
        shapes = [tuple(v.shape) for v in network.trainable_variables]
        weights = sum(map(math.prod, shapes))
        times = pairs(applied(phs(), shapes, steps), applied(sgd(), shapes, steps), repeats)
        report(f"optimizer alone, {name} ({weights:,} in {len(shapes)} tensors)", times, steps)
        mine, peer = slots(phs(), shapes), slots(sgd(), shapes)
        print(f"  memory {mine:,} / {peer:,} bytes = {mine / peer:.5f}")
    times = pairs(fitted(phs()), fitted(sgd()), repeats)
    report(f"training step, LeNet, batch {BATCH}", times, STEPS)
    print(versions())


if __name__ == "__main__":
    main()
