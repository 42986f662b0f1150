"""Splits by patient, and the rows of thesis Table 7.1."""

import lifelines
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.datasets import load_gbsg2, load_whas500

from survival.cohort import Cohort, median_follow_up, split_by_patient, summarize, without_events


def make(patients, events, datasets=None, slides_each=1):
    """Return a cohort of patients P0, P1, ... with times 1, 2, ... and ``slides_each`` slides."""
    index = np.repeat(np.arange(patients), slides_each)
    return Cohort(
        slide=[f"s{i}" for i in range(len(index))],
        patient=[f"P{i}" for i in index],
        time=index + 1.0,
        event=np.asarray(events)[index],
        dataset=None if datasets is None else np.asarray(datasets)[index],
    )


def patients_of(cohort, split):
    return set(cohort.patient[cohort.split == split])


def test_shares_hold_within_every_event_and_dataset():
    random = np.random.default_rng(0)
    events, datasets = random.random(400) < 0.3, random.choice(["A", "B"], 400, p=[0.8, 0.2])
    cohort = split_by_patient(make(400, events, datasets, 2), 0.2, 0.1, seed=3)
    shares = {"train": 0.7, "validation": 0.2, "test": 0.1}
    for event in (True, False):
        for dataset in "AB":
            stratum = (cohort.event == event) & (cohort.dataset == dataset)
            size = len(set(cohort.patient[stratum]))
            for split, share in shares.items():
                n = len(set(cohort.patient[stratum & (cohort.split == split)]))
                assert abs(n - share * size) <= 2
    assert [len(patients_of(cohort, split)) for split in shares] == [280, 80, 40]


@settings(max_examples=40)
@given(st.integers(3, 40), st.integers(0, 2**32), st.data())
def test_patients_are_not_divided_and_every_split_has_an_event(patients, seed, data):
    events = data.draw(st.lists(st.booleans(), min_size=patients, max_size=patients))
    cohort = make(patients, events, slides_each=3)
    if sum(events) < 3:
        with pytest.raises(ValueError, match="too few for 3 splits, each of which needs one"):
            split_by_patient(cohort, seed=seed)
        return
    split = split_by_patient(cohort, seed=seed)
    parts = [patients_of(split, name) for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == patients == len(set.union(*parts))
    assert all(split.event[split.split == s].any() for s in ("train", "validation", "test"))
    # The split depends on patients and seed only, not on the order of the rows.
    order = np.array(data.draw(st.permutations(range(len(cohort)))))
    again = split_by_patient(cohort.select(order), seed=seed)
    assert [patients_of(again, s) for s in ("train", "validation", "test")] == parts


def test_different_seeds_give_different_splits():
    cohort = make(40, np.arange(40) % 2 == 0)
    assert patients_of(split_by_patient(cohort, seed=0), "test") != patients_of(
        split_by_patient(cohort, seed=1), "test"
    )


def test_the_split_of_a_seed_never_changes():
    # Recorded with the first version: later versions must reproduce a published split.
    cohort = split_by_patient(make(10, np.arange(10) % 2 == 0), seed=7)
    assert patients_of(cohort, "test") == {"P2"}
    assert patients_of(cohort, "validation") == {"P1", "P6"}


def test_a_fraction_of_0_makes_no_split():
    cohort = split_by_patient(make(10, np.ones(10, bool)), validation=0, test=0.3)
    assert set(cohort.split) == {"train", "test"}
    assert len(patients_of(cohort, "test")) == 3


@pytest.mark.parametrize(
    ("shares", "message"),
    [((-0.1, 0.2), "validation must be a fraction"), ((0.5, 0.5), "leaves nothing to train on")],
)
def test_bad_shares(shares, message):
    with pytest.raises(ValueError, match=message):
        split_by_patient(make(10, np.ones(10, bool)), *shares)


def test_summary_by_hand():
    cohort = Cohort(
        slide=["a", "b", "c", "d", "e"],
        patient=["P", "P", "Q", "R", "S"],
        time=[10, 10, 4, 6, 8],
        event=[0, 0, 1, 0, 1],
        dataset=["A", "A", "A", "A", "B"],
        split=["train", "train", "test", "train", "test"],
    )
    rows = summarize(cohort).set_index(["dataset", "split"])
    assert rows.index.tolist() == [
        ("A", "train"), ("A", "test"), ("A", "all"), ("B", "test"), ("B", "all"),
        ("all", "train"), ("all", "test"), ("all", "all"),
    ]  # fmt: skip
    assert rows.loc[("A", "all"), ["slides", "patients", "events"]].tolist() == [4, 3, 1]
    assert rows.loc[("A", "all"), "event_rate"] == pytest.approx(1 / 3)
    # Dataset A: the event at 4 counts as lost to follow-up. One of the 2 left is censored at 6,
    # so 1/2 remains; the other is censored at 10.
    assert rows.loc[("A", "all"), "median_follow_up"] == 6
    # Dataset B has only an event: without censoring the length of follow-up is unknown.
    assert np.isnan(rows.loc[("B", "all"), "median_follow_up"])


@pytest.mark.parametrize("load", [load_whas500, load_gbsg2])
def test_median_follow_up_against_lifelines(load):
    _, y = load()
    event, time = (y[name] for name in y.dtype.names)
    # At equal times events come before censorings. lifelines does not do so: shift the events.
    fitter = lifelines.KaplanMeierFitter().fit(time + np.where(event, 0, 1e-6), ~event)
    expected = fitter.median_survival_time_
    assert median_follow_up(time, event) == pytest.approx(expected, abs=1e-5)
    assert median_follow_up(time, event) > np.median(time)


def test_a_dataset_called_all_has_a_row_of_its_own():
    cohort = make(3, [0, 0, 1], ["all", "all", "A"])
    rows = summarize(cohort)
    assert list(zip(rows.dataset, rows.patients, strict=True)) == [("A", 1), ("all", 2), ("all", 3)]
    assert without_events(cohort) == ["dataset 'all' has no event (2 patients)"]
