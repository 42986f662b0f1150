"""The part of a file depends on its content only: other files do not change it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbuilder.datasets import Split
from resbuilder.datasets.content import content_of, drawn, number

NAMES = ("cat", "dog")


def contents_of(count, first=0):
    return [f"{i:032x}" for i in range(first, first + count)]


def test_the_hash_depends_on_the_content_and_not_on_the_name(tmp_path):
    for name, data in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(data)
    a, b, c = (content_of(tmp_path / name) for name in "abc")
    # The beginning of SHA-256 of "one", by sha256sum.
    assert a == b == "7692c3ad3540bb803c020b3aee66cd88" and a != c


def test_numbers_are_uniform_and_independent_for_each_purpose():
    numbers = np.array([number(c, "test") for c in contents_of(4000)])
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert np.all(np.abs(counts - 400) < 80)
    others = np.array([number(c, "validation/0") for c in contents_of(4000)])
    assert abs(np.corrcoef(numbers, others)[0, 1]) < 0.05


def test_the_number_of_a_content_never_changes():
    """Other machines and later versions must divide a folder in the same way."""
    assert number("7692c3ad3540bb803c020b3aee66cd88", "test") == 0.7285277402043284


@given(count=st.integers(8, 60), added=st.integers(0, 40))
def test_added_files_leave_the_others_in_their_parts(count, added):
    """Only the forced test image of a small class may return to training; none is newly drawn."""
    labels = np.arange(count + added) % 2
    contents = contents_of(count + added, first=1000)
    before = drawn(contents[:count], labels[:count], 0.2, "test", leave=1)
    after = drawn(contents, labels, 0.2, "test", leave=1)[:count]
    assert not (after & ~before).any()
    below = np.array([number(c, "test") < 0.2 for c in contents[:count]])
    assert np.array_equal(after[below], before[below])


@given(counts=st.lists(st.integers(3, 9), min_size=2, max_size=4), seed=st.integers(0, 50))
def test_every_class_has_an_image_in_each_part(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    contents = contents_of(len(labels), first=100 * seed)
    tests = drawn(contents, labels, 0.2, "test", leave=2)
    for label in range(len(counts)):
        here = tests[labels == label]
        assert here.any() and (~here).sum() >= 2


def test_copies_are_in_the_same_part():
    contents = contents_of(30) * 2
    split = Split.by_content(contents, np.arange(60) % 2, NAMES)
    assert not {contents[i] for i in split.train} & {contents[i] for i in split.validation}
    assert len(split.train) + len(split.validation) == 60


def test_another_seed_draws_another_validation_part_of_about_the_same_size():
    contents, labels = contents_of(1000), np.arange(1000) % 2
    first, again, other = (Split.by_content(contents, labels, NAMES, 0.3, s) for s in (1, 1, 2))
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.validation, other.validation)
    assert abs(len(first.validation) - 300) < 45


def test_a_limit_is_met_exactly_and_keeps_the_proportions():
    contents, labels = contents_of(400), (np.arange(400) % 4 == 0).astype(int)
    split = Split.by_content(contents, labels, NAMES, limit=80)
    both = np.concatenate([split.train, split.validation])
    assert len(set(both)) == 80 and np.bincount(labels[both]).tolist() == [60, 20]
    whole = Split.by_content(contents, labels, NAMES)
    assert set(split.validation) <= set(whole.validation), "a limit moves no file"
    given = np.arange(400) < 100
    limited = Split.by_content(contents, labels, NAMES, limit=80, validation=given)
    assert (limited.validation < 100).all() and (limited.train >= 100).all()
    assert (len(limited.validation), len(limited.train)) == (20, 60)
    with pytest.raises(ValueError, match="3 training images .* at least 4"):
        Split.by_content(contents, labels, NAMES, limit=3)


def test_the_error_names_a_class_without_validation_images_and_the_number_needed():
    labels = np.array([0, 0, 0, 0, 1])
    with pytest.raises(ValueError, match="class dog has no .* image: it has 1 .* at least 2"):
        Split.by_content(contents_of(5), labels, NAMES)
    same = [*contents_of(4), "a" * 32, "a" * 32]
    with pytest.raises(ValueError, match="class dog .* 1 different .* at least 2"):
        Split.by_content(same, np.array([0, 0, 0, 0, 1, 1]), NAMES)
    with pytest.raises(ValueError, match="class dog has no validation image"):
        given = np.array([True, False, False, False, False])
        Split.by_content(contents_of(5), labels, NAMES, validation=given)
