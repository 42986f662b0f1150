"""What the Cox loss and its gradient cost, and whether they are exact.

    python -m benchmarks.cox_loss [--repeats 15]
    KERAS_BACKEND=torch python -m benchmarks.cox_loss   # needs torchsurv; pycox if it is there

Loss and gradient of n log-hazards, half of them events, on average four rows with each time, in
turn with a peer: Breslow's likelihood by TensorFlow's cumulative log-sum-exp, and pycox' formula on
TensorFlow; torchsurv and pycox on torch. Exactness is the error of the gradient in units of its
largest entry, against float64; with ties and without, because torchsurv sums up in another way then
and pycox ignores ties. Goals: at most the peer's time; exact (error below 1e-5) at a spread of 100.

pycox' dependencies are many; its loss needs few of them, in a folder of their own:

    pip install --no-deps --target FOLDER pycox torchtuples numba llvmlite
    PYTHONPATH=FOLDER KERAS_BACKEND=torch python -m benchmarks.cox_loss
"""

import argparse
import itertools
import warnings

import keras
import numpy as np

from benchmarks._measure import pairs, quartiles, versions
from survival.losses import negative_log_partial_likelihood

SIZES = (5, 64, 1024, 8192, 32768, 131072)
SPREADS, EXACT_SIZES = (1, 20, 100), (1024, 131072)
GOAL, EXACT = 1.0, 1e-5


def on_tensorflow():
    """Ours, then the peers by name: functions of targets and log-hazards."""
    import tensorflow as tf

    def gradient_of(loss):
        @tf.function
        def gradient(y, h):
            with tf.GradientTape() as tape:
                tape.watch(h)
                value = loss(y, h)
            return tf.convert_to_tensor(tape.gradient(value, h))

        return lambda y, h: gradient(tf.constant(y), tf.constant(h)).numpy()

    def cumulative(y, h):
        order = tf.argsort(y[:, 0], direction="DESCENDING")
        h, (time, event) = tf.gather(h, order), tf.unstack(tf.gather(y, order), axis=1)
        last_tied = tf.searchsorted(-time, -time, side="right") - 1
        log_sums = tf.gather(tf.math.cumulative_logsumexp(h), last_tied)
        return tf.reduce_sum(event * (log_sums - h))

    def pycox(y, h):
        order = tf.argsort(y[:, 0], direction="DESCENDING")
        h, event = tf.gather(h, order), tf.gather(y[:, 1], order)
        largest = tf.reduce_max(h)
        log_sums = tf.math.log(tf.cumsum(tf.exp(h - largest)) + 1e-7) + largest
        return tf.reduce_sum(event * (log_sums - h))

    ours = gradient_of(negative_log_partial_likelihood)
    peers = {"tf.math.cumulative_logsumexp": cumulative, "pycox' formula": pycox}
    return ours, {name: gradient_of(peer) for name, peer in peers.items()}


def on_torch():
    """The same on torch."""
    import torch
    from torchsurv.loss.cox import neg_partial_log_likelihood

    def gradient_of(loss):
        def gradient(y, h):
            h = torch.tensor(h, requires_grad=True)
            loss(torch.tensor(y), h).backward()
            return h.grad.numpy()

        return gradient

    def torchsurv(y, h):
        return neg_partial_log_likelihood(h, y[:, 1] > 0, y[:, 0], "breslow", reduction="sum")

    peers = {"torchsurv": gradient_of(torchsurv)}
    try:
        from pycox.models.loss import cox_ph_loss
    except ImportError:
        print("pycox is not there: see the head of this file")
    else:
        # It takes the mean over events.
        peers["pycox"] = gradient_of(lambda y, h: cox_ph_loss(h, y[:, 0], y[:, 1]) * y[:, 1].sum())
    return gradient_of(negative_log_partial_likelihood), peers


def data(rows: int, spread: float, tied: int = 4):
    """Targets and log-hazards; the highest risks die first, as in a model that has learned."""
    random = np.random.default_rng(0)
    h = spread * np.sort(random.random(rows))
    y = np.stack([(rows - np.arange(rows)) // tied, random.integers(0, 2, rows)], axis=1)
    mixed = random.permutation(rows)
    return y[mixed].astype("float32"), h[mixed].astype("float32")


def error(gradient, y, h) -> float:
    """Largest error of a gradient, in units of the largest entry; infinite if it is not finite."""
    order = np.argsort(-y[:, 0])
    h, (time, event) = h[order].astype("float64"), y[order].T
    first = np.searchsorted(-time, -time, "left")
    last = np.searchsorted(-time, -time, "right") - 1
    log_sums = np.logaddexp.accumulate(h)[last]
    # A row is at risk in all events at or before its time, which are behind it in this order.
    later = np.logaddexp.accumulate(np.where(event > 0, -log_sums, -np.inf)[::-1])[::-1]
    expected = np.exp(h + later[first]) - event
    wrong = np.abs(gradient[order] - expected).max() / np.abs(expected).max()
    return float(wrong) if np.isfinite(wrong) else float("inf")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="pairs of measurements")
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")  # torchsurv warns of ties in every step
    backends = {"tensorflow": on_tensorflow, "torch": on_torch}
    if keras.backend.backend() not in backends:
        parser.error(f"there is no peer on {keras.backend.backend()}: KERAS_BACKEND=tensorflow")
    ours, peers = backends[keras.backend.backend()]()

    for rows, (peer, theirs) in itertools.product(SIZES, peers.items()):
        y, h = data(rows, 10)
        times = pairs(lambda y=y, h=h: ours(y, h), lambda y=y, h=h, f=theirs: f(y, h), repeats)
        ratios = times[:, 0] / times[:, 1]
        milliseconds = 1e3 * np.median(times[:, :, 0], axis=0)
        reached = "reached" if np.median(ratios[:, 0]) <= GOAL else "MISSED"
        print(f"n = {rows:,}: {milliseconds[0]:.2f} ms, {peer} {milliseconds[1]:.2f} ms")
        print(f"  ratio {quartiles(ratios[:, 0])}, goal <= {GOAL}: {reached}")
        print(f"  ratio in processor time {quartiles(ratios[:, 1])}")
    for spread, tied, rows in itertools.product(SPREADS, (1, 4), EXACT_SIZES):
        y, h = data(rows, spread, tied)
        words = []
        for name, gradient in {"ours": ours, **peers}.items():
            wrong = error(gradient(y, h), y, h)
            words.append(f"{name} {'exact' if wrong < EXACT else 'NOT exact'} ({wrong:.1e})")
        print(
            f"spread {spread}, {'ties' if tied > 1 else 'no ties'}, n = {rows:,}: "
            + ", ".join(words)
        )
    print(versions())


if __name__ == "__main__":
    main()
