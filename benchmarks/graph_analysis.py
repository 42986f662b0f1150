"""Time of MorphNet's analysis of ResNet-18, compared with Google's morph_net.

    python -m benchmarks.graph_analysis [--repeats 15]

Google's morph_net (see the README for its installation) crawls a TensorFlow graph of the same model
for groups of channels. Goal: finding the same groups in the Keras model is at least 10 times
faster, with the same values. Two wider ratios are also printed: the crawl compared with the whole
native regularizer (groups, sources, coefficients of the cost), and both engines from the Keras
model to term and cost as TensorFlow operations. For training, the terms with their gradients are
compared.
"""

import argparse
import time

import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from resbuilder import build_model, resnet_architecture
from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer
from resbuilder.morphnet.google import GoogleRegularizer, require_morph_net

ALGORITHMS = ("group_lasso", "gamma")
GOAL = 10
# Terms in one timed call, because a single one takes only a few operations.
STEPS = 5


class Timed(GoogleRegularizer):
    """Google's engine, which also records the time of the crawl."""

    def _crawl(self, boundary):
        manager, self.crawl = timed(lambda: GoogleRegularizer._crawl(self, boundary))
        return manager


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="analyses of each kind")
    repeats = parser.parse_args().repeats
    model = build_model(resnet_architecture((32, 32, 3), 10), seed=0)
    print(f"ResNet-18: {len(model.layers)} layers, {model.count_params():,} weights; {versions()}")
    try:
        require_morph_net()
    except ValueError as error:
        times = [timed(lambda: ChannelGraph(model))[1] for _ in range(repeats + 1)][1:]
        print(f"native groups {1e3 * np.median(times, axis=0)[0]:.1f} ms; not compared: {error}")
        return
    for algorithm in ALGORITHMS:
        compare(model, algorithm, repeats)


def compare(model, algorithm: str, repeats: int) -> None:
    """Compare the analyses alternately, then the values, then the terms in a compiled function."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # Google's advice on groups with several sources
    times = []
    for _ in range(repeats + 1):
        groups = timed(lambda: ChannelGraph(model, cut_flatten=True))[1]
        native, ready = timed(lambda: MorphNetRegularizer(model, algorithm, strict=True))
        traced = timed(lambda native=native: operations(native))[1]
        google, engine = timed(lambda: Timed(model, algorithm))
        times.append((groups, ready, ready + traced, google.crawl, engine))
    times = np.array(times[1:])  # the first warms up
    for clock, unit in enumerate(("wall ms", "processor ms")):
        of = times[:, :, clock]
        groups, ready, traced, crawl, engine = 1e3 * np.median(of, axis=0)
        reached = "reached" if np.median(of[:, 3] / of[:, 0]) >= GOAL else "MISSED"
        print(
            f"{algorithm}, {unit}: native groups {groups:.1f}, regularizer {ready:.1f}, with "
            f"operations {traced:.0f}; Google's crawl {crawl:.1f}, with operations {engine:.0f}"
        )
        print(f"  crawl / groups {quartiles(of[:, 3] / of[:, 0])}, goal >= {GOAL}: {reached}")
        print(f"  crawl / regularizer {quartiles(of[:, 3] / of[:, 1])}")
        print(f"  with operations, Google / native {quartiles(of[:, 4] / of[:, 2])}")

    terms = [float(engine.regularization_term()) for engine in (native, google)]
    costs = [engine.exact_cost() for engine in (native, google)]
    values = "the same" if costs[0] == costs[1] and np.isclose(*terms, rtol=1e-5) else "DIFFERENT"
    print(f"  values {values}: terms {terms[0]:.7g} and {terms[1]:.7g}, costs {costs[0]:,}")

    def steps(engine):
        @tf.function(autograph=False)
        def gradients():
            weights = [weight.value for weight in model.trainable_variables]
            with tf.GradientTape() as tape:
                term = engine.regularization_term()
            return [g for g in tape.gradient(term, weights) if g is not None]

        return lambda: [gradients()[0].numpy() for _ in range(STEPS)]

    ratios = np.divide(*pairs(steps(native), steps(google), repeats)[:, :, 0].T)
    print(f"  term and gradients in training, native / Google {quartiles(ratios)}")


def operations(regularizer):
    """Return term and cost as TensorFlow operations."""
    import tensorflow as tf

    def results():
        return regularizer.regularization_term(), regularizer.cost()

    return tf.function(results, autograph=False).get_concrete_function()


def timed(function):
    """Return the result of a call, and its wall and processor seconds."""
    start = np.array([time.perf_counter(), time.process_time()])
    result = function()
    return result, np.array([time.perf_counter(), time.process_time()]) - start


if __name__ == "__main__":
    main()
