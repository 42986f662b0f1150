"""Targets are checked before training, and errors say what is wrong in which row."""

import numpy as np
import pandas as pd
import pytest

from survival.losses import CoxPHLoss, check_targets

pytestmark = pytest.mark.any_backend


def test_good_targets_are_returned_as_float32():
    y = check_targets([[0, 1], [12.5, 0]])
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, [[0, 1], [12.5, 0]])
    assert check_targets([[1, 1, -2, 0.5], [1, 0, 7, 0]]).shape == (2, 4)
    # Booleans and integers, as they come from a table.
    assert check_targets(np.array([[3, True], [4, False]])).tolist() == [[3, 1], [4, 0]]


@pytest.mark.parametrize(
    "y, message",
    [
        ([1, 0, 1], r"shape \(n, 2\), \(n, 3\), \(n, 4\) or \(n, 5\).*got \(3,\)"),
        ([[1], [2]], r"got \(2, 1\)"),
        (np.ones((3, 6)), r"got \(3, 6\)"),
        ([["12", "alive"]], "must be numbers in columns time, event"),
        ([[1, 1], [1, 1, 1]], "must be numbers"),
        ([[1, 1], [-2, 0], [-3, 0]], r"time must be finite and >= 0, got -2 in row 1 \(2 such"),
        ([[1, 1], [np.nan, 0]], "time must be finite.*got nan in row 1"),
        ([[1, 1], [np.inf, 0]], "got inf in row 1"),
        ([[1, 1], [2, 0.5]], r"event must be 1 \(observed\) or 0 \(censored\), got 0.5 in row 1"),
        ([[1, np.nan]], "event must be 1"),
        ([[1, 1, 0.5]], "stratum must be a whole number up to 16777216, got 0.5"),
        ([[1, 1, 2**25]], "stratum must be a whole number"),
        ([[1, 1, 0, -1]], "weight must be finite and >= 0, got -1"),
        ([[1, 0], [2, 0]], "no event among 2 rows"),
        ([[1, 1, 0, 0], [2, 0, 0, 1]], "no event among 2 rows"),
    ],
)
def test_bad_targets_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_targets(y)


@pytest.mark.parametrize("weight", [[-1.0, 1.0], [np.nan, 1.0], [1.0, np.inf]])
def test_sample_weights_in_an_array_are_checked(weight):
    y, h = [[1, 1], [2, 0]], np.zeros(2, "float32")
    with pytest.raises(ValueError, match="sample_weight must be finite and >= 0, got"):
        CoxPHLoss()(y, h, sample_weight=np.array(weight))


def test_a_frame_is_checked_like_an_array():
    frame = pd.DataFrame({"time": [-1.0, 2.0], "event": [1, 0]})
    with pytest.raises(ValueError, match="time must be finite and >= 0, got -1"):
        CoxPHLoss()(frame, np.zeros(2, "float32"))
