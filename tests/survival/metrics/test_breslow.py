"""Breslow's baseline hazard: by hand, against references, and where these lose precision."""

import math

import lifelines
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sksurv.datasets import load_gbsg2, load_whas500
from sksurv.linear_model import CoxPHSurvivalAnalysis

from survival.metrics import BaselineHazard

COLUMNS = {load_whas500: ["age", "bmi", "hr"], load_gbsg2: ["age", "pnodes", "tsize"]}


def real(load):
    x, y = load()
    event, time = (y[name] for name in y.dtype.names)
    return x[COLUMNS[load]].astype(float), y, np.stack([time, event], axis=1)


def test_by_hand():
    y = np.array([[1, 1], [2, 0], [3, 1], [3, 1], [4, 0]])
    h = np.log([2.0, 1.0, 3.0, 1.0, 4.0])
    baseline = BaselineHazard(y, h)
    # At 1 all are at risk (sum 11); at 3, those with 3, 1 and 4 (sum 8), with two events.
    expected = [0, 1 / 11, 1 / 11, 1 / 11 + 2 / 8, 1 / 11 + 2 / 8]
    np.testing.assert_allclose(baseline.cumulative_hazard([0, 1, 2.9, 3, 4]), expected)
    survival = baseline.survival([[0.0], [math.log(2)]], [3])
    np.testing.assert_allclose(survival[:, 0], np.exp([-expected[3], -2 * expected[3]]))


@pytest.mark.parametrize("load", COLUMNS)
def test_equal_to_scikit_survival_at_the_same_coefficients(load):
    x, y, y_true = real(load)
    cox = CoxPHSurvivalAnalysis(alpha=0.01).fit(x, y)
    log_hazard = cox.predict(x)
    baseline = BaselineHazard(y_true, log_hazard)
    reference = cox.cum_baseline_hazard_
    np.testing.assert_allclose(baseline.cumulative_hazard(reference.x), reference.y, rtol=1e-9)
    times = np.quantile(y_true[:, 0], [0.1, 0.33, 0.5, 0.9])
    expected = np.stack([f(times) for f in cox.predict_survival_function(x)])
    np.testing.assert_allclose(baseline.survival(log_hazard, times), expected, rtol=1e-9)


def test_equal_to_lifelines_by_stratum():
    x, _, y_true = real(load_gbsg2)
    # Without ties, where lifelines (Efron) and Breslow agree.
    y_true[:, 0] += np.linspace(0, 0.4, len(y_true))
    frame = x.assign(
        time=y_true[:, 0], event=y_true[:, 1], old=np.where(x["age"] > 55, "old", "young")
    )
    cox = lifelines.CoxPHFitter().fit(frame, "time", "event", strata="old")
    log_hazard = (x @ cox.params_[x.columns]).to_numpy()
    baseline = BaselineHazard(y_true, log_hazard, frame["old"].to_numpy())
    assert baseline.strata == ("old", "young")
    # lifelines centers its covariates.
    center = cox.params_[x.columns] @ cox._norm_mean[x.columns]
    for old in baseline.strata:
        reference = cox.baseline_cumulative_hazard_[old].dropna()
        times = reference.index.to_numpy()
        inside = times <= frame["time"][frame["old"] == old].max()
        ours = baseline.cumulative_hazard(times[inside], old) * np.exp(center)
        np.testing.assert_allclose(ours, reference.to_numpy()[inside], rtol=1e-6)


def test_strata_of_the_third_column_are_estimated_separately():
    _, _, y_true = real(load_whas500)
    h = np.sin(np.arange(500.0))
    stratum = np.arange(500) % 2
    both = BaselineHazard(np.column_stack([y_true, stratum]), h)
    for name in (0.0, 1.0):
        rows = stratum == name
        alone = BaselineHazard(y_true[rows], h[rows])
        times = [100, 1000]
        np.testing.assert_array_equal(
            both.cumulative_hazard(times, name), alone.cumulative_hazard(times)
        )
        np.testing.assert_array_equal(
            both.survival(h, times, stratum)[rows], alone.survival(h[rows], times)
        )


@pytest.mark.parametrize("spread", [50, 100, 2000])
def test_any_spread_of_log_hazards(spread):
    # The highest risk has the first event: subtracting it from the sum leaves only rounding errors.
    h = np.linspace(spread / 2, -spread / 2, 50)
    times = np.arange(1, 51.0)
    baseline = BaselineHazard(np.stack([times, np.ones(50)], axis=1), h)
    # Relative to the row with the event at each time, whose hazard is exp(h): numbers near 1.
    step = spread / 49
    at_risk = [math.fsum(math.exp(-step * k) for k in range(50 - i)) for i in range(50)]
    terms = [math.fsum(math.exp(h[i] - h[j]) / at_risk[j] for j in range(i + 1)) for i in range(50)]
    survival = np.diag(baseline.survival(h, times))
    np.testing.assert_allclose(survival, np.exp(-np.array(terms)), rtol=1e-11)


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.booleans(), st.floats(-300, 300)), min_size=1, max_size=9
    ),
    st.floats(-200, 200),
)
def test_invariances(rows, shift):
    time, event, h = (np.array(column, float) for column in zip(*rows, strict=True))
    event[0] = 1
    y = np.stack([time, event], axis=1)
    times = np.linspace(0, time.max(), 7)
    survival = BaselineHazard(y, h).survival(h, times)
    assert ((survival >= 0) & (survival <= 1)).all()
    assert (np.diff(survival, axis=1) <= 0).all()
    # A constant added to all log-hazards is absorbed by the baseline.
    shifted = BaselineHazard(y, h + shift).survival(h + shift, times)
    np.testing.assert_allclose(shifted, survival, rtol=1e-9, atol=1e-12)
    # With equal risks it is the Nelson–Aalen estimator.
    equal = BaselineHazard(y, np.zeros(len(y))).cumulative_hazard(time.max())
    deaths = np.unique(time[event == 1])
    expected = sum(((time == t) & (event == 1)).sum() / (time >= t).sum() for t in deaths)
    assert equal[0] == pytest.approx(expected)


def test_bad_requests():
    y = np.array([[1, 1], [2, 0], [1, 1], [3, 0]])
    baseline = BaselineHazard(y, np.zeros(4), ["A", "A", "B", "B"])
    with pytest.raises(
        ValueError, match="be within the follow-up of stratum 'A', 0 to 2, not 1 to 3"
    ):
        baseline.cumulative_hazard([1, 3], "A")
    with pytest.raises(ValueError, match="stratum must be one of 'A', 'B', not 'C'"):
        baseline.survival(np.zeros(4), [1], "C")
    with pytest.raises(ValueError, match="stratum must be one of 'A', 'B', not None"):
        baseline.survival(np.zeros(4), [1])
    with pytest.raises(ValueError, match="stratum 'A' has no event"):
        BaselineHazard(y * [[1, 0], [1, 0], [1, 1], [1, 1]], np.zeros(4), ["A", "A", "B", "B"])
    with pytest.raises(ValueError, match="values of log_hazard are not finite"):
        BaselineHazard(y, [0, 0, np.inf, 0])
