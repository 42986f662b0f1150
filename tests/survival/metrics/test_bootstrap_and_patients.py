"""Intervals clustered by patient, and one score per patient."""

import numpy as np
import pytest
from sksurv.datasets import load_whas500

from survival.metrics import bootstrap_interval, harrell_c, per_patient


@pytest.fixture(scope="module")
def whas500():
    x, y = load_whas500()
    return np.stack([y["lenfol"], y["fstat"]], axis=1)[:200], x["age"].to_numpy(float)[:200]


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    x = np.random.default_rng(0).normal(10, 2, 400)
    interval = bootstrap_interval(np.mean, x, repeats=2000)
    half = 1.96 * x.std() / np.sqrt(400)
    assert interval.value == x.mean()
    assert (interval.low, interval.high) == pytest.approx(
        (x.mean() - half, x.mean() + half), abs=half / 10
    )


def test_the_interval_depends_on_the_seed_but_not_on_patients_names(whas500):
    first = bootstrap_interval(harrell_c, *whas500, repeats=50, seed=1)
    assert first == bootstrap_interval(harrell_c, *whas500, repeats=50, seed=1)
    assert first != bootstrap_interval(harrell_c, *whas500, repeats=50, seed=2)
    assert first.low < first.value < first.high
    assert first.repeats == 50
    n = len(whas500[0])
    for names in ([f"{i:04}" for i in range(n)], [f"{n - i:04}" for i in range(n)]):
        named = bootstrap_interval(harrell_c, *whas500, patient=names, repeats=50, seed=1)
        assert named == first


def test_slides_of_a_patient_are_drawn_together(whas500):
    # Each patient four times: no new information, so the same interval. Counted as four patients,
    # the interval would be half as wide.
    y, risk = (array[:60] for array in whas500)
    once = bootstrap_interval(harrell_c, y, risk, repeats=100)
    rows = np.repeat(np.arange(60), 4)
    clustered = bootstrap_interval(harrell_c, y[rows], risk[rows], patient=rows, repeats=100)
    naive = bootstrap_interval(harrell_c, y[rows], risk[rows], repeats=100)
    width, wide, narrow = (i.high - i.low for i in (once, clustered, naive))
    assert wide == pytest.approx(width, rel=0.3)
    assert narrow < 0.7 * wide
    assert clustered.value == pytest.approx(once.value)


def test_draws_without_comparable_pairs_are_skipped_and_too_many_refused():
    y = np.array([[1, 1], [2, 0], [3, 0], [4, 0]])
    interval = bootstrap_interval(harrell_c, y, [4, 3, 2, 1], repeats=200)
    # The only event is drawn with probability 1 − (3/4)⁴ ≈ 0.68, alone with (1/4)⁴.
    assert 110 < interval.repeats < 160
    many = np.stack([np.arange(40), np.arange(40) == 0], axis=1)
    with pytest.raises(ValueError, match="no two patients"):
        bootstrap_interval(harrell_c, many * [1, 0], np.arange(40))
    never_again = iter([0.5])

    def once(_):
        try:
            return next(never_again)
        except StopIteration:
            raise ValueError("not defined") from None

    with pytest.raises(ValueError, match="only 0 of 10 bootstrap draws"):
        bootstrap_interval(once, np.arange(3), repeats=10)


def test_bad_bootstraps():
    for options, message in (
        ({"level": 95}, "level must be between 0 and 1"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"patient": [1, 2]}, r"patient must have shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            bootstrap_interval(np.mean, np.arange(3), **options)
    with pytest.raises(ValueError, match=r"the same number of rows, not \[3, 2\]"):
        bootstrap_interval(np.mean, np.arange(3), np.arange(2))


Y = np.array([[5, 1, 0], [9, 0, 1], [5, 1, 0], [5, 1, 0]])


def test_mean_and_max_by_hand():
    mean = per_patient(Y, [1.0, 7.0, 2.0, 6.0], ["Q", "P", "Q", "Q"])
    assert mean.patient.tolist() == ["Q", "P"]  # in the order of the rows
    assert mean.risk.tolist() == [3, 7]
    assert mean.y_true.tolist() == [[5, 1, 0], [9, 0, 1]]
    assert mean.first.tolist() == [0, 1]
    assert per_patient(Y, [[1.0], [7.0], [2.0], [6.0]], list("QPQQ"), "max").risk.tolist() == [6, 7]


def test_one_slide_per_patient_changes_nothing(whas500):
    y, risk = whas500
    for how in ("mean", "max"):
        result = per_patient(y, risk, np.arange(len(y)), how)
        np.testing.assert_array_equal(result.risk, risk)
        np.testing.assert_array_equal(result.y_true, y)


def test_inconsistent_patients_are_refused():
    with pytest.raises(
        ValueError, match="slides of one patient but have different times, events or entries"
    ):
        per_patient(Y, np.zeros(4), ["P", "P", "Q", "Q"])
    with pytest.raises(ValueError, match="how must be one of 'mean', 'max', not 'median'"):
        per_patient(Y, np.zeros(4), list("QPQQ"), "median")
