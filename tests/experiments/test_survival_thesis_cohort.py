"""The cohort of Table 7.1's sizes has the printed numbers of patients, deaths and slides."""

import numpy as np
import pandas as pd
import pytest

from experiments.survival.follow_up import PATIENTS
from experiments.survival.thesis_cohort import draw_thesis_cohort, thesis_sizes
from survival.cohort.summary import summarize

PRINTED = {
    ("A", "train"): (104, 15, 313),
    ("A", "validation"): (36, 5, 36),
    ("A", "test"): (36, 5, 38),
    ("B", "test"): (242, 30, 242),
}


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Return a folder of shared data with only follow-up: censored after 1, 2, …, 200 months."""
    folder = tmp_path_factory.mktemp("shared")
    path = folder / PATIENTS
    path.parent.mkdir()
    rows = [f"P{i}\t0:LIVING\t{i}" for i in range(1, 201)]
    path.write_text("\n".join(["PATIENT_ID\tOS_STATUS\tOS_MONTHS", *rows]) + "\n")
    return folder


@pytest.mark.parametrize("seed", range(3))
def test_sizes_and_deaths_of_each_part_are_those_of_table_7_1(followed, seed):
    cohort, rows = draw_thesis_cohort(seed, followed)
    found = {
        (row.dataset, row.split): (row.patients, row.events, row.slides)
        for row in summarize(cohort).itertuples()
        if "all" not in (row.dataset, row.split)
    }
    assert found == PRINTED
    assert [recipe.slide for recipe, _ in rows] == list(cohort.slide)
    assert {
        (scanner, split): (size.patients, size.events, size.slides)
        for scanner, splits in thesis_sizes().items()
        for split, size in splits.items()
    } == PRINTED


def test_a_patient_is_in_one_split_with_three_or_four_slides_or_one_or_two(followed):
    cohort, _ = draw_thesis_cohort(0, followed)
    frame = cohort.to_frame()
    assert (frame.groupby("patient").split.nunique() == 1).all()
    counts = frame.groupby(["dataset", "split", "patient"]).size()
    assert sorted(counts["A", "train"].unique()) == [3, 4]
    assert sorted(counts["A", "test"].unique()) == [1, 2]
    assert set(counts["A", "validation"]) == set(counts["B", "test"]) == {1}


def test_another_seed_has_other_patients_and_the_same_seed_the_same(followed):
    first, again, other = (draw_thesis_cohort(seed, followed)[0].to_frame() for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first.time, other.time)
    assert not np.array_equal(first.split, other.split)


def test_coarser_images_take_twice_the_downsampling(followed):
    as_it_is, coarser = (
        draw_thesis_cohort(0, followed, factor)[0].further["downsample"].astype(float)
        for factor in (1, 2)
    )
    np.testing.assert_array_equal(coarser, 2 * as_it_is)
