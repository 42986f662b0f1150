"""Time of the Cox loss with its gradient, and its exactness, compared with other implementations.

    python -m benchmarks.cox_loss [--repeats 15]
    KERAS_BACKEND=torch python -m benchmarks.cox_loss   # needs torchsurv; pycox is optional

It measures loss and gradient of n log-hazards, half of them with events, with four rows for each
time on average, alternately with a peer. All of them get unsorted rows and sort them; on
TensorFlow, that is most of the time of pycox' formula with many rows. The peers on TensorFlow are
Breslow's likelihood by cumulative log-sum-exp, and pycox' formula; those on torch are torchsurv and
pycox. Exactness is the error of the gradient relative to its largest entry, compared with float64.
It is measured with and without ties, because torchsurv uses another sum for ties, and pycox ignores
them. Goals: at most the peer's time; exact (error below 1e-5) at a spread of 100.

pycox has many dependencies, but its loss needs only a few of them. Install these in a separate
folder:

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
    """Return our gradient and the peers' by name, as functions of targets and log-hazards."""
    import tensorflow as tf

    def gradient_of(loss):
        @tf.function
        def gradient(y, h):
            with tf.GradientTape() as tape:
                tape.watch(h)
                value = loss(y, h)
            # With the value, or TensorFlow would leave out what only the value needs.
            return value, tf.convert_to_tensor(tape.gradient(value, h))

        return lambda y, h: gradient(tf.constant(y), tf.constant(h))[1].numpy()

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
    """Return our gradient and the peers' on torch."""
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
        print("pycox is not installed: see the docstring of benchmarks/cox_loss.py")
    else:
        # pycox returns the mean over events.
        peers["pycox"] = gradient_of(lambda y, h: cox_ph_loss(h, y[:, 0], y[:, 1]) * y[:, 1].sum())
    return gradient_of(negative_log_partial_likelihood), peers


def data(rows: int, spread: float, tied: int = 4):
    """Return targets and log-hazards; high risks die first, as for the output of a good model."""
    random = np.random.default_rng(0)
    h = spread * np.sort(random.random(rows))
    y = np.stack([(rows - np.arange(rows)) // tied, random.integers(0, 2, rows)], axis=1)
    mixed = random.permutation(rows)
    return y[mixed].astype("float32"), h[mixed].astype("float32")


def error(gradient, y, h) -> float:
    """Return the largest error of a gradient relative to its largest entry, or infinity."""
    order = np.argsort(-y[:, 0])
    h, (time, event) = h[order].astype("float64"), y[order].T
    first = np.searchsorted(-time, -time, "left")
    last = np.searchsorted(-time, -time, "right") - 1
    log_sums = np.logaddexp.accumulate(h)[last]
    # A row is at risk in all events at or before its time, which follow it in this order.
    later = np.logaddexp.accumulate(np.where(event > 0, -log_sums, -np.inf)[::-1])[::-1]
    expected = np.exp(h + later[first]) - event
    wrong = np.abs(gradient[order] - expected).max() / np.abs(expected).max()
    return float(wrong) if np.isfinite(wrong) else float("inf")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="pairs of measurements")
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")  # torchsurv warns about ties in every step
    backends = {"tensorflow": on_tensorflow, "torch": on_torch}
    if keras.backend.backend() not in backends:
        parser.error(
            f"no peer runs on the backend {keras.backend.backend()}; set KERAS_BACKEND=tensorflow "
            "or KERAS_BACKEND=torch"
        )
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
