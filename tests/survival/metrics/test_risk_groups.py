"""Risk groups: curves, numbers at risk, log-rank test, calibration."""

import lifelines
import lifelines.statistics
import numpy as np
import pytest
from sksurv.compare import compare_survival
from sksurv.datasets import load_gbsg2, load_whas500
from sksurv.util import Surv

from survival.metrics import (
    BaselineHazard,
    assign_risk_groups,
    calibration_table,
    kaplan_meier,
    log_rank,
    numbers_at_risk,
    risk_thresholds,
)


@pytest.fixture(params=[load_whas500, load_gbsg2])
def real(request):
    x, y = request.param()
    event, time = (y[name] for name in y.dtype.names)
    group = assign_risk_groups(x["age"], risk_thresholds(x["age"], 3))
    return np.stack([time, event], axis=1), group


def test_curve_by_hand():
    y = np.array([[2, 1], [3, 0], [4, 1], [6, 0]])
    (curve,) = kaplan_meier(y, ["all"] * 4)
    assert (curve.group, curve.patients, curve.events) == ("all", 4, 2)
    assert curve.times.tolist() == [0, 2, 3, 4, 6]
    assert curve.survival.tolist() == [1, 3 / 4, 3 / 4, 3 / 8, 3 / 8]
    assert curve.censored.tolist() == [3, 6]
    assert [curve.at(t)[0] for t in (0, 1.9, 2, 5, 6)] == [1, 1, 3 / 4, 3 / 8, 3 / 8]
    assert np.isnan(curve.at(6.1)).all()  # after the last follow-up
    assert numbers_at_risk(y, [0, 0, 0, 0], [0, 2, 2.5, 4, 7]).tolist() == [[4, 4, 3, 2, 0]]


def test_survival_stays_0_after_the_last_death():
    (curve,) = kaplan_meier([[0, 1], [1, 1]], [0, 0])
    assert curve.times.tolist() == [0, 1]  # a death on day 0 is the curve's first step
    assert curve.survival.tolist() == [1 / 2, 0]
    assert curve.at(5)[0] == 0


def test_curves_against_lifelines(real):
    y, group = real
    for curve in kaplan_meier(y, group):
        rows = group == curve.group
        fitter = lifelines.KaplanMeierFitter().fit(y[rows, 0], y[rows, 1])
        inside = (curve.survival < 1) & (curve.survival > 0)
        at = curve.times[inside]
        expected = fitter.survival_function_at_times(at)
        np.testing.assert_allclose(curve.survival[inside], expected, rtol=1e-9)
        bounds = fitter.confidence_interval_.loc[at].to_numpy()
        np.testing.assert_allclose(curve.low[inside], bounds[:, 0], rtol=1e-6)
        np.testing.assert_allclose(curve.high[inside], bounds[:, 1], rtol=1e-6)
        table = fitter.event_table
        counts = numbers_at_risk(y, group, table.index)[int(curve.group)]
        np.testing.assert_array_equal(counts, table["at_risk"])


def test_log_rank_against_both_references(real):
    y, group = real
    result = log_rank(y, group)
    reference = compare_survival(Surv.from_arrays(y[:, 1] == 1, y[:, 0]), group)
    assert tuple(result) == pytest.approx(reference, rel=1e-12)
    reference = lifelines.statistics.multivariate_logrank_test(y[:, 0], group, y[:, 1])
    assert result.statistic == pytest.approx(reference.test_statistic, rel=1e-6)
    assert result.p_value == pytest.approx(reference.p_value, rel=1e-6)


def test_log_rank_of_equal_groups_finds_no_difference():
    y = np.repeat([[1, 1], [2, 0], [3, 1], [4, 1]], 2, axis=0)
    assert log_rank(y, [0, 1] * 4) == pytest.approx((0, 1))


def test_thresholds_of_training_data_divide_them_into_equal_groups():
    risk = np.random.default_rng(0).normal(size=90)
    thresholds = risk_thresholds(risk, 3)
    assert np.bincount(assign_risk_groups(risk, thresholds)).tolist() == [30, 30, 30]
    assert assign_risk_groups([-9, 0, 9], thresholds).tolist() == [0, 1, 2]
    # At the median, half of the rows are in each group; a score at the threshold is in the lower.
    assert assign_risk_groups([[1], [2], [3]], risk_thresholds([1, 2, 3])).tolist() == [0, 0, 1]


def test_calibration_by_hand():
    y = np.array([[5, 0], [6, 0], [1, 1], [7, 0], [2, 1], [3, 1], [1, 0], [9, 0]])
    predicted = [0.9, 0.8, 0.9, 0.8, 0.3, 0.2, 0.3, 0.2]
    table = calibration_table(y, predicted, horizon=4, groups=2)
    assert table["group"].tolist() == [0, 1]
    assert table["patients"].tolist() == [4, 4]
    assert table["events"].tolist() == [1, 2]
    assert table["predicted"].tolist() == pytest.approx([0.85, 0.25])
    # Low risk: one of four has the event. High risk: one is censored at 1, then one of three and
    # one of two have the event.
    assert table["observed"].tolist() == pytest.approx([3 / 4, 2 / 3 * 1 / 2])
    assert (table["low"] < table["observed"]).all() and (table["observed"] < table["high"]).all()
    assert np.isnan(calibration_table(y, predicted, horizon=8, groups=2)["observed"][0])


def test_true_probabilities_are_calibrated():
    random = np.random.default_rng(0)
    h = random.normal(size=4000)
    true, censored = random.exponential(np.exp(-h)), random.exponential(3, 4000)
    y = np.stack([np.minimum(true, censored), true <= censored], axis=1)
    table = calibration_table(y, np.exp(-np.exp(h)), horizon=1.0)
    assert ((table["low"] < table["predicted"]) & (table["predicted"] < table["high"])).all()
    # Breslow's estimate from the same log-hazards gives the same, up to its error.
    breslow = BaselineHazard(y, h).survival(h, [1.0])
    np.testing.assert_allclose(breslow[:, 0], np.exp(-np.exp(h)), atol=0.03)
    # With doubled log-hazards, low risks are predicted too low and high risks too high.
    off = calibration_table(y, np.exp(-np.exp(2 * h)), horizon=1.0)
    assert off["predicted"].iloc[0] > off["high"].iloc[0]
    assert off["predicted"].iloc[-1] < off["low"].iloc[-1]


@pytest.mark.parametrize("entries", [False, True])
def test_groups_that_were_never_followed_together_cannot_be_compared(entries):
    """The last group is censored before the first event: only up to rounding, V is singular."""
    random = np.random.default_rng(0)
    for _ in range(100):
        time = np.concatenate([1 + random.exponential(size=20), random.uniform(0, 1, 10)])
        event = np.arange(30) < 20
        y = np.stack([time, event, np.zeros(30), np.ones(30), 1e-9 * event], axis=1)
        y = y if entries else y[:, :2]
        with pytest.raises(ValueError, match="no event happened while patients of every group"):
            log_rank(y, np.repeat([0, 1, 2], 10))
    # Groups 0 and 2 never meet, but each meets group 1.
    time, event = np.array([1, 2, 3, 4, 5, 6]), np.array([1, 0, 1, 0, 1, 0])
    y = np.stack([time, event, np.zeros(6), np.ones(6), [0, 0, 0, 0, 2.5, 2.5]], 1)
    assert log_rank(y, [0, 0, 1, 1, 2, 2]).statistic > 0


def test_bad_requests():
    y = np.array([[1, 1], [2, 0], [3, 1], [4, 0]])
    with pytest.raises(ValueError, match="at least two groups"):
        log_rank(y, [0, 0, 0, 0])
    with pytest.raises(ValueError, match="needs events"):
        log_rank(y * [1, 0], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="no event happened while patients of every group"):
        log_rank([[1, 0], [1, 0], [3, 1], [4, 1]], [0, 0, 1, 1])
    with pytest.raises(
        ValueError,
        match="with 1 different value cannot be divided .* of equal size$",
    ):
        risk_thresholds(np.zeros(4))
    with pytest.raises(ValueError, match="between 2 and the 4 patients, not 5"):
        risk_thresholds(np.arange(4), 5)
    with pytest.raises(ValueError, match="probabilities between 0 and 1, not log-hazards"):
        calibration_table(y, [0.1, 0.2, 3, 0.4], 2)
    with pytest.raises(ValueError, match="horizon must be a time > 0"):
        calibration_table(y, [0.1, 0.2, 0.3, 0.4], 0)
