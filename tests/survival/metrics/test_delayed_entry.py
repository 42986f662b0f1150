"""Metrics with late entries, compared with lifelines and with definitions."""

import lifelines
import lifelines.datasets
import numpy as np
import pytest
from sksurv.compare import compare_survival
from sksurv.util import Surv

from survival.metrics import (
    BaselineHazard,
    calibration_table,
    count_pairs,
    cross_dataset_table,
    harrell_c,
    kaplan_meier,
    log_rank,
    numbers_at_risk,
    per_patient,
    time_dependent_auroc,
    uno_c,
)
from survival.targets import join_targets, make_targets


@pytest.fixture(scope="module")
def aids():
    """Return years from AIDS to the end of follow-up, death and entry; 42 of 78 enter late."""
    data = lifelines.datasets.load_multicenter_aids_cohort_study()
    return make_targets(data["T"], data["D"], entry=data["W"])


@pytest.fixture(scope="module")
def stanford():
    """Return targets and three covariates for the time before and after a heart transplant."""
    data = lifelines.datasets.load_stanford_heart_transplants()
    return make_targets(data["stop"], data["event"], entry=data["start"]), data


def test_kaplan_meier_of_lifelines(aids):
    (curve,) = kaplan_meier(aids, np.zeros(len(aids)))
    fitter = lifelines.KaplanMeierFitter().fit(aids[:, 0], aids[:, 1], entry=aids[:, 4])
    at = curve.times[1:]
    np.testing.assert_allclose(curve.survival[1:], fitter.survival_function_at_times(at), rtol=1e-9)
    bounds = fitter.confidence_interval_.loc[at].to_numpy()
    some = curve.survival[1:] < 1
    np.testing.assert_allclose(curve.low[1:][some], bounds[some, 0], rtol=1e-6)
    np.testing.assert_allclose(curve.high[1:][some], bounds[some, 1], rtol=1e-6)
    table = fitter.event_table.loc[at]
    counts = numbers_at_risk(aids, np.zeros(len(aids)), at)[0]
    np.testing.assert_array_equal(counts, table["at_risk"] - table["entrance"])
    # Ignoring the entries makes the patients look safer.
    (ignored,) = kaplan_meier(aids[:, :2], np.zeros(len(aids)))
    assert ignored.at(3)[0] > curve.at(3)[0] + 0.1


def test_kaplan_meier_by_hand():
    # At 2 two rows are at risk; the third enters at 2 and is at risk only after it.
    y = make_targets([2, 4, 5, 0], [1, 1, 0, 1], entry=[0, 1, 2, 0])
    (curve,) = kaplan_meier(y, ["all"] * 4)
    assert curve.times.tolist() == [0, 2, 4, 5]
    # Two rows are at risk from the start, and one of them has the event at time 0.
    np.testing.assert_allclose(curve.survival, [1 / 2, 1 / 4, 1 / 8, 1 / 8])
    assert numbers_at_risk(y, [0] * 4, [0, 1, 2, 3, 5]).tolist() == [[2, 1, 2, 2, 1]]


def test_the_true_survival_is_found_although_early_deaths_never_enter():
    random = np.random.default_rng(0)
    time, entry = random.exponential(10, 20_000), random.uniform(0, 15, 20_000)
    seen = entry < time
    y = make_targets(time[seen], np.ones(seen.sum()), entry=entry[seen])
    (curve,) = kaplan_meier(y, np.zeros(seen.sum()))
    (ignored,) = kaplan_meier(y[:, :2], np.zeros(seen.sum()))
    for t in (5, 10, 20):
        assert curve.at(t)[0] == pytest.approx(np.exp(-t / 10), abs=0.025)
    assert ignored.at(10)[0] > 0.5


@pytest.mark.parametrize("stratum", [None, "surgery"])
def test_baseline_hazard_of_lifelines(stanford, stratum):
    """Compare with CoxTimeVaryingFitter: CoxPHFitter ignores entries in the baseline hazard."""
    y, data = stanford
    rows = data if stratum is None else data[data["surgery"] == 0]
    fitter = lifelines.CoxTimeVaryingFitter().fit(
        rows.drop(columns=["surgery", "year"]), id_col="id", event_col="event"
    )
    names = ["age", "transplant"]
    log_hazard = ((data[names] - rows[names].mean()) @ fitter.params_[names]).to_numpy()
    baseline = BaselineHazard(y, log_hazard, None if stratum is None else data["surgery"])
    reference = fitter.baseline_cumulative_hazard_["baseline hazard"]
    at = reference.index.to_numpy()
    found = baseline.cumulative_hazard(at, None if stratum is None else 0)
    np.testing.assert_allclose(found, reference, rtol=1e-9)
    assert baseline.survival([0.5], [30.0], 0) == pytest.approx(
        np.exp(-np.exp(0.5) * baseline.cumulative_hazard([30.0], 0)[None])
    )


def test_baseline_hazard_at_a_large_spread():
    # A row with an enormous hazard leaves before the others enter. A difference of running sums
    # would lose the others.
    y = make_targets([1, 5, 6, 7], [1, 1, 1, 0], entry=[0, 2, 2, 2])
    h = np.array([700.0, 0, 0, 0])
    found = BaselineHazard(y, h).cumulative_hazard([1, 5, 6])
    np.testing.assert_allclose(found, [np.exp(-700), 1 / 3, 1 / 3 + 1 / 2], rtol=1e-12)


def brute_force_pairs(y, risk):
    counts = [0, 0, 0]
    time, event, entry = y[:, 0], y[:, 1], np.where(y[:, 4] > 0, y[:, 4], -1)
    for i in np.flatnonzero(event):
        for j in range(len(y)):
            later = time[j] > time[i] or (time[j] == time[i] and not event[j])
            if later and entry[j] < time[i]:
                counts[int(np.sign(risk[j] - risk[i])) + 1 if risk[i] != risk[j] else 1] += 1
    return counts[0], counts[2], counts[1]


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_under_observation_together(monkeypatch, seed):
    random = np.random.default_rng(seed)
    time = random.integers(0, 12, 60)
    entry = np.where(random.random(60) < 0.4, 0, random.integers(0, np.maximum(time, 1)))
    y = make_targets(time, random.integers(0, 2, 60), entry=entry)
    risk = random.integers(0, 8, 60)
    expected = brute_force_pairs(y, risk)
    assert tuple(count_pairs(y, risk)) == expected
    monkeypatch.setattr("survival.metrics.concordance._PAIRS", 100)  # several parts
    assert tuple(count_pairs(y, risk)) == expected
    assert expected != tuple(count_pairs(y[:, :2], risk))


def test_concordance_by_hand():
    # A row that enters at the time of the event is not compared with it.
    y = make_targets([3, 5, 6, 7], [1, 1, 0, 0], entry=[0, 0, 3, 4])
    assert tuple(count_pairs(y, [4, 3, 2, 9])) == (2, 1, 0)
    assert harrell_c(y, [4, 3, 2, 9]) == 2 / 3
    with pytest.raises(ValueError, match="no two patients can be compared"):
        harrell_c(make_targets([3, 5], [1, 0], entry=[0, 3]), [1, 2])


def test_entries_of_0_change_nothing(aids):
    same = aids.copy()
    same[:, 4] = 0
    risk = np.random.default_rng(0).normal(size=len(aids))
    assert count_pairs(same, risk) == count_pairs(aids[:, :2], risk)
    # One late entry, before the first event, selects the other code: same numbers.
    same[same[:, 0] == same[:, 0].max(), 4] = 1e-9
    assert count_pairs(same, risk) == count_pairs(aids[:, :2], risk)
    group = (risk > 0.2) + (risk > 0.9)
    expected = compare_survival(Surv.from_arrays(aids[:, 1] == 1, aids[:, 0]), group)
    assert tuple(log_rank(same, group)) == pytest.approx(expected, rel=1e-9)
    for one, other in zip(kaplan_meier(same, group), kaplan_meier(aids[:, :2], group), strict=True):
        np.testing.assert_allclose(one.survival, other.survival, rtol=1e-12)


def test_log_rank_is_the_score_test_of_the_partial_likelihood(aids):
    """Compare with the score test of lifelines at coefficient 0, without ties."""
    y = aids.copy()
    y[:, 0] += np.linspace(0, 1e-4, len(y))
    group = np.random.default_rng(1).integers(0, 2, len(y))
    hessian, gradient, _ = lifelines.CoxTimeVaryingFitter._get_gradients(
        group[:, None].astype(float), y[:, 1] == 1, y[:, 4], y[:, 0], y[:, 3], np.zeros(1)
    )
    statistic = log_rank(y, group).statistic
    assert statistic == pytest.approx(gradient[0] ** 2 / -hessian[0, 0], rel=1e-9)
    assert abs(statistic - log_rank(y[:, :2], group).statistic) > 0.1


def test_groups_never_under_observation_together():
    y = make_targets([1, 2, 5, 6], [1, 1, 1, 1], entry=[0, 0, 3, 3])
    with pytest.raises(
        ValueError, match="no event happened while patients of every group were followed"
    ):
        log_rank(y, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("measure", "call"),
    [
        ("Uno's C", lambda y: uno_c(y, np.zeros(len(y)), y[:, :2])),
        ("Uno's C", lambda y: uno_c(y[:, :2], np.zeros(len(y)), y)),
        (
            "The time-dependent AUROC",
            lambda y: time_dependent_auroc(y, np.zeros(len(y)), y[:, :2], 2),
        ),
        ("Calibration", lambda y: calibration_table(y, np.full(len(y), 0.5), 2)),
    ],
)
def test_measures_not_defined_with_entries_are_refused(aids, measure, call):
    message = rf"^{measure} is not defined with delayed entry \(42 of 78 enter late\): \w+"
    with pytest.raises(ValueError, match=message):
        call(aids)


def test_bad_targets_are_refused(aids):
    wrong = aids.copy()
    wrong[3, 4] = wrong[3, 0]
    with pytest.raises(
        ValueError, match=r"before the time: 1 of 78 are not, the first is 5.97 for"
    ):
        harrell_c(wrong, np.zeros(78))
    wrong[:, 3:] = [2, 0]
    with pytest.raises(
        ValueError, match=r"metrics do not support weights: the fourth column .* not 2"
    ):
        harrell_c(wrong, np.zeros(78))
    with pytest.raises(ValueError, match="different times, events or entries"):
        per_patient(make_targets([3, 3], [1, 1], entry=[0, 1]), [1, 2], ["P", "P"])


def test_table_7_2_keeps_the_entries(aids):
    risk = np.random.default_rng(0).normal(size=78)
    dataset = np.repeat(["A", "B"], 39)
    table = cross_dataset_table(aids, risk, dataset, repeats=3).set_index("data")
    assert table.loc["A", "c_index"] == harrell_c(aids[:39], risk[:39])
    assert table.loc["merged", "c_index"] == harrell_c(aids, risk)
    pairs = [count_pairs(aids[rows], risk[rows]) for rows in (slice(39), slice(39, None))]
    together = np.sum(pairs, axis=0)
    assert table.loc["within", "c_index"] == pytest.approx(
        (together[0] + together[2] / 2) / together.sum()
    )


def test_targets_with_different_columns_are_joined(aids):
    joined = join_targets([aids, aids[:, :2], np.c_[aids[:, :2], np.full(78, 7)]])
    assert joined.shape == (3 * 78, 5)
    np.testing.assert_array_equal(joined[78 : 2 * 78, 2:], np.tile([0, 1, 0], (78, 1)))
    assert (joined[-78:, 2:] == [7, 1, 0]).all()
    assert join_targets([aids[:, :2]]).shape == (78, 2)
