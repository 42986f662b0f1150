"""Joint evaluation of several datasets, as in thesis Table 7.2."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.cohort import Cohort
from survival.metrics import (
    BaselineHazard,
    auroc,
    count_pairs,
    cross_dataset_scores,
    cross_dataset_table,
    harrell_c,
    kaplan_meier,
    merged_auroc,
    merged_c,
    numbers_at_risk,
    per_patient,
    standardize_per_dataset,
    within_dataset_auroc,
    within_dataset_c,
)


def two_scanners(offset=5.0, n=150, seed=0):
    """Return scores that predict risk, but on scanner B have an offset and twice the spread."""
    random = np.random.default_rng(seed)
    h = random.normal(size=n)
    true, censored = random.exponential(np.exp(-h)), random.exponential(2, n)
    y = np.stack([np.minimum(true, censored), true <= censored], axis=1)
    dataset = np.where(np.arange(n) % 3 == 0, "B", "A")
    noisy = h + random.normal(size=n)
    return y, np.where(dataset == "B", 2 * noisy + offset, noisy), dataset


def test_standardizing_by_hand():
    risk = standardize_per_dataset([1, 3, 10, 10, 30], ["A", "A", "B", "B", "C"])
    assert risk.tolist() == [-1, 1, 0, 0, 0]


def test_within_datasets_by_hand():
    y = np.array([[1, 1], [2, 0], [1, 1], [2, 0], [3, 0]])
    dataset = ["A", "A", "B", "B", "B"]
    # A: 1 of 1 pairs correct; B: 1 of 2. Pairs between A and B do not count.
    risk = [1, 0, 100, 200, 50]
    assert within_dataset_c(y, risk, dataset) == pytest.approx(2 / 3)
    assert within_dataset_auroc(y, risk, dataset) == pytest.approx(2 / 3)


def test_one_dataset_is_evaluated_as_it_is():
    y, risk, _ = two_scanners()
    one = np.full(len(y), "A")
    value = harrell_c(y, risk)
    assert within_dataset_c(y, risk, one) == value == merged_c(y, risk, one)
    assert within_dataset_auroc(y, risk, one) == auroc(y, risk) == merged_auroc(y, risk, one)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(0.01, 100))
def test_scale_and_offset_of_a_scanner_matter_only_if_merged_naively(seed, offset, scale):
    y, risk, dataset = two_scanners(seed=seed, n=40)
    moved = np.where(dataset == "B", scale * risk + offset, risk)
    for metric in (within_dataset_c, within_dataset_auroc):
        assert metric(y, moved, dataset) == pytest.approx(metric(y, risk, dataset))
    np.testing.assert_allclose(
        standardize_per_dataset(moved, dataset), standardize_per_dataset(risk, dataset), atol=1e-6
    )


def test_pairs_within_and_between_datasets_are_all_pairs():
    y, risk, dataset = two_scanners()
    inside = [count_pairs(y[dataset == d], risk[dataset == d]) for d in "AB"]
    pairs = [sum(column) for column in zip(*inside, strict=True)]
    expected = (pairs[0] + pairs[2] / 2) / sum(pairs)
    assert within_dataset_c(y, risk, dataset) == pytest.approx(expected)
    assert sum(pairs) < sum(count_pairs(y, risk))


def test_the_table_shows_the_cost_of_merging_naively():
    y, risk, dataset = two_scanners()
    table = cross_dataset_table(y, risk, dataset, repeats=20).set_index("data")
    assert table.index.tolist() == ["A", "B", "merged", "standardized", "within"]
    assert table["slides"].tolist() == [100, 50, 150, 150, 150]
    assert table.loc["A", "c_index"] == harrell_c(y[dataset == "A"], risk[dataset == "A"])
    assert table.loc["merged", "auroc"] == auroc(y, risk)
    assert table.loc["within", "c_index"] == within_dataset_c(y, risk, dataset)
    for metric in ("c_index", "auroc"):
        assert table.loc["merged", metric] < table.loc["standardized", metric] - 0.03
        low, high = (table[f"{metric[0] if metric == 'c_index' else metric}_{e}"] for e in ENDS)
        assert ((low < table[metric]) & (table[metric] < high)).all()


ENDS = ("low", "high")


def test_the_table_of_one_dataset_has_one_row():
    y, risk, dataset = two_scanners()
    only = dataset == "A"
    table = cross_dataset_table(y[only], risk[only], dataset[only], repeats=5)
    assert table["data"].tolist() == ["A"]
    again = cross_dataset_table(y[only], risk[only], dataset[only], repeats=5)
    assert again.equals(table)
    with pytest.raises(ValueError, match=r"dataset must have shape \(150,\)"):
        within_dataset_c(y, risk, ["A"])


def test_a_dataset_that_cannot_be_evaluated_leaves_the_other_rows_as_they_are():
    y, risk, dataset = two_scanners()
    before = cross_dataset_table(y, risk, dataset, repeats=5).set_index("data")
    assert (before["note"] == "").all()
    y[dataset == "B", 1] = 0
    table = cross_dataset_table(y, risk, dataset, repeats=5).set_index("data")
    assert table.index.tolist() == ["A", "B", "merged", "standardized", "within"]
    assert table.loc["A"].equals(before.loc["A"])
    assert table.loc["B"].drop(["slides", "events", "note"]).isna().all()
    assert table.loc["B", ["slides", "events"]].tolist() == [50, 0]
    assert "no C-index: no two patients can be compared" in table.loc["B", "note"]
    assert "no AUROC: an AUROC needs rows with and without the event" in table.loc["B", "note"]
    others = table.drop("B")
    assert others.notna().all(axis=None) and (others["note"] == "").all()
    # Only A has pairs within a dataset; with B, pairs of A's events with B's patients count.
    assert table.loc["within", "c_index"] == table.loc["A", "c_index"]
    assert table.loc["merged", "c_index"] == harrell_c(y, risk) != table.loc["A", "c_index"]


def test_an_auroc_remains_where_no_two_patients_can_be_compared():
    y = np.array([[1.0, 0], [2, 0], [3, 1], [3, 1]])  # both events at the end
    (row,) = cross_dataset_scores(y, [0, 1, 2, 3], ["A"] * 4)
    assert row.c is None and row.auroc.value == 1 and row.note.startswith("no C-index: no two")


def test_a_table_without_any_defined_value_is_an_error_that_names_each_dataset():
    y = np.array([[1.0, 0], [2, 0], [3, 0]])
    with pytest.raises(ValueError, match="^A: no C-index: no two .*; B: no C-index: no two"):
        cross_dataset_table(y, [0, 1, 2], ["A", "B", "B"])


def test_a_dataset_with_the_name_of_a_combined_row_is_refused_among_others():
    y, risk, dataset = two_scanners(n=40)
    for name in ("merged", "standardized", "within"):
        with pytest.raises(ValueError, match=f"a dataset is called '{name}', .*: rename it"):
            cross_dataset_table(y, risk, np.where(dataset == "A", name, "B"))
    (row,) = cross_dataset_scores(y, risk, ["merged"] * 40, repeats=5)
    assert row.data == "merged"


def test_without_censoring_only_the_auroc_of_that_dataset_is_missing():
    y, risk, dataset = two_scanners()
    y[dataset == "B", 1] = 1
    table = cross_dataset_table(y, risk, dataset, repeats=5).set_index("data")
    assert table["c_index"].notna().all()
    assert table.index[table["auroc"].isna()].tolist() == ["B"]
    rows = cross_dataset_scores(y, risk, dataset, repeats=5)
    assert [row.auroc is None for row in rows] == [False, True, False, False, False]
    assert rows[0].c.repeats == 5


def test_the_columns_of_a_cohort_can_be_passed_directly():
    y, risk, dataset = two_scanners(n=60)
    names = [f"{i}" for i in range(60)]
    cohort = Cohort(names, [f"P{i // 2 * 2}" for i in range(60)], *y[np.arange(60) // 2 * 2].T)
    cohort = replace(cohort, dataset=dataset)
    table = cross_dataset_table(cohort.y_true(), risk, cohort.dataset, cohort.patient, repeats=5)
    assert table["data"].tolist() == ["A", "B", "merged", "standardized", "within"]
    assert len(per_patient(cohort.y_true(), risk, cohort.patient).risk) == 30
    baseline = BaselineHazard(cohort.y_true(), risk, cohort.dataset)
    assert baseline.survival(risk, [0.1], cohort.dataset).shape == (60, 1)
    assert [curve.group for curve in kaplan_meier(cohort.y_true(), cohort.dataset)] == ["A", "B"]


def test_metrics_of_a_cohort_hold_at_its_recorded_decimal_times():
    """Most decimals are different numbers in float32: 34.2 is later there, and 12.4 earlier."""
    names, time = list("abcdef"), [5.3, 12.4, 34.2, 34.1, 40.0, 50.0]
    y = Cohort(names, names, time, [1, 1, 1, 0, 1, 0]).y_true()
    assert y[:, 0].tolist() == time
    (curve,) = kaplan_meier(y, np.zeros(6))
    assert curve.at(34.2)[0] == pytest.approx(5 / 6 * 4 / 5 * 2 / 3)
    assert numbers_at_risk(y, np.zeros(6), time).tolist() == [[6, 5, 3, 4, 2, 1]]
    # The hazard of equal risks rises by one over the number at risk at each event.
    hazard = BaselineHazard(y, np.zeros(6)).cumulative_hazard([5.3, 12.4, 34.1, 34.2, 40, 50])
    np.testing.assert_allclose(hazard, np.cumsum([1 / 6, 1 / 5, 0, 1 / 3, 1 / 2, 0]))
    until_censored = BaselineHazard(y[[0, 1, 3]], np.zeros(3))
    assert until_censored.cumulative_hazard([34.1]) == pytest.approx(1 / 3 + 1 / 2)


def test_a_single_number_is_not_a_vector_of_scores():
    with pytest.raises(ValueError, match=r"risk must have shape \(n,\) or \(n, 1\), not \(\)"):
        standardize_per_dataset(0.5, "a")


def test_equal_scores_become_exactly_zero_although_their_mean_is_rounded():
    risk, dataset = [0.1] * 3 + [0.3] * 5, list("aaabbbbb")
    assert np.mean([0.1] * 3) != 0.1
    assert not standardize_per_dataset(risk, dataset).any()
    y_true = np.stack([np.arange(1.0, 9), np.ones(8)], axis=1)
    assert merged_c(y_true, risk, dataset) == 0.5
