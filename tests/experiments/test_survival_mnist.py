"""The survival times given to MNIST are those of the notebook, and a network learns from them."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from experiments.survival.mnist import (
    SHARE_CENSORED,
    digit_log_hazards,
    markdown,
    survival_times,
    train,
)
from survival.metrics import harrell_c

# The output of cells 4, 5 and 7 of tutorial_tf2.ipynb, github.com/sebp/survival-cnn-estimator.
LOG_HAZARDS = [3.071, 2.555, 0.058, 1.790, 2.515, 3.031, 1.750, 2.475, 0.018, 2.435]
CENSORED_TRAIN, CENSORED_TEST, TRUE_CINDEX = 0.4619, 0.4633, 0.705


def test_log_hazards_of_the_digits_are_those_of_the_notebook():
    assert_allclose(digit_log_hazards(), LOG_HAZARDS, atol=5e-4)


def test_times_are_censored_as_often_and_ordered_as_well_as_in_the_notebook():
    """Another order of the images changes them no more than a random order does."""
    counts = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)  # MNIST's training part
    test_counts = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    random = np.random.default_rng(0)
    digits = [random.permutation(np.repeat(np.arange(10), n)) for n in (counts, test_counts)]
    y_train, y_test = np.split(survival_times(np.concatenate(digits)), [60_000])
    assert_allclose(1 - y_train[:, 1].mean(), CENSORED_TRAIN, atol=0.002)
    assert_allclose(1 - y_test[:, 1].mean(), CENSORED_TEST, atol=0.01)
    assert_allclose(harrell_c(y_test, digit_log_hazards()[digits[1]]), TRUE_CINDEX, atol=0.01)


def test_times_are_exponential_with_the_hazard_of_the_digit():
    """Events over time at risk estimate a constant hazard, regardless of censoring."""
    digits = np.repeat(np.arange(10), 7000)
    time, event = survival_times(digits).T
    hazard = np.array([event[digits == d].sum() / time[digits == d].sum() for d in range(10)])
    expected = np.exp(digit_log_hazards()) / 365
    error = 1 / np.sqrt([event[digits == d].sum() for d in range(10)])
    assert (np.abs(np.log(hazard / expected)) < 4 * error).all()
    assert (time[event == 0] == time.max()).all()
    assert 1 - event.mean() > SHARE_CENSORED


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="experiments: TensorFlow")
@pytest.mark.slow
def test_a_short_training_beats_chance_and_stays_below_the_truth(tmp_path):
    x, y = load_digits(return_X_y=True)
    x = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3)))
    x = np.pad(x * 255 / 16, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    np.savez(
        tmp_path / "digits28.npz", x_train=x[:1300], y_train=y[:1300], x_test=x[1300:],
        y_test=y[1300:],
    )  # fmt: skip
    job = {
        "dataset": "digits28",
        "data_dir": str(tmp_path),
        "limit": None,
        "epochs": 8,
        "normalization": "batch",
        "seed": 0,
    }
    result = train(job)
    cindex = [epoch["val_cindex"] for epoch in result["history"]]
    assert len(cindex) == 8
    assert cindex[-1] > 0.58
    assert cindex[-1] < result["true_cindex"] + 0.02
    assert np.corrcoef(result["digits"], digit_log_hazards())[0, 1] > 0.5
    table = markdown([{"job": job} | result, {"job": job | {"normalization": "events"}} | result])
    assert f"| {cindex[-1]:.4f} | {result['true_cindex']:.4f} |" in table
