"""One slide under two names is found by its content."""

import numpy as np
import pytest

from survival.cohort import Cohort
from survival.cohort.duplicates import (
    check_contents,
    contents_of_files,
    copies_among,
    known_slides,
)


def cohort(patients, splits):
    n = len(patients)
    slides = [f"s{i}.svs" for i in range(n)]
    return Cohort(slides, list(patients), np.ones(n), np.ones(n, bool), split=splits)


def test_files_with_the_same_bytes_have_the_same_content(tmp_path):
    paths = [tmp_path / name for name in "abcd"]
    for path, text in zip(paths, ("xx", "yy", "xx", "longer"), strict=True):
        path.write_text(text)
    a, b, c, d = contents_of_files(paths)
    assert a == c and len({a, b, d}) == 3
    # The text for a file's content does not depend on the other files.
    assert contents_of_files(paths[:1]) == [a]
    assert copies_among(paths) == [a, b, c, ""]


def test_a_slide_of_two_patients_or_in_two_splits_is_refused():
    check_contents(cohort("PQR", ["train", "train", "test"]), ["1", "2", "3"])
    check_contents(cohort("PPQ", ["train", "train", "test"]), ["1", "1", "2"])  # twice, one patient
    check_contents(cohort("PQR", ["train", "train", "test"]), ["", "", ""])  # contents unknown
    with pytest.raises(ValueError, match="'s0.svs' and 's2.svs' of patients 'P' and 'R'"):
        check_contents(cohort("PQR", ["train"] * 3), ["1", "2", "1"])


def test_a_copy_of_a_training_slide_is_known_under_any_name():
    learned, seen = ["a.svs", "b.svs"], ["file:1", "file:2"]
    assert known_slides(["x.svs", "y.svs"], ["file:2", "file:3"], learned, seen) == ["x.svs"]
    # Another hospital may use the same names: different contents are different slides.
    assert known_slides(["a.svs"], ["file:3"], learned, seen) == []
    # Hashes of two kinds cannot be compared, nor can tile hashes of different levels.
    assert known_slides(["a.svs"], ["quickhash:3"], learned, seen) == ["a.svs"]
    assert known_slides(["a.svs"], ["tiles:3:9"], ["a.svs"], ["tiles:1:9"]) == ["a.svs"]
    # Copies of one file have one size.
    assert known_slides(["a.svs"], ["tiles:3:9"], ["a.svs"], ["tiles:1:8"]) == []
    # Without contents, names decide.
    assert known_slides(["a.svs", "c.svs"], ["", ""], learned, []) == ["a.svs"]
    # One name in two Unicode forms is the same slide.
    assert known_slides(["a\u0308.svs"], [""], ["\xe4.svs"], []) == ["a\u0308.svs"]
