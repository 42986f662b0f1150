"""The validation split: disjoint, stratified, reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbuilder.datasets import Split

COUNTS = st.lists(st.integers(2, 60), min_size=2, max_size=8)


def labels_of(counts, seed=1):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@given(counts=COUNTS, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_parts_are_disjoint_and_complete_and_have_every_class(counts, fraction, seed):
    labels = labels_of(counts)
    split = Split.stratified(labels, fraction, seed)
    both = np.concatenate([split.train, split.validation])
    assert np.array_equal(np.sort(both), np.arange(len(labels)))
    classes = np.arange(len(counts))
    assert np.array_equal(np.unique(labels[split.train]), classes)
    assert np.array_equal(np.unique(labels[split.validation]), classes)
    wanted = round(fraction * len(labels))
    assert len(split.validation) == np.clip(wanted, len(counts), len(labels) - len(counts))


def test_every_class_keeps_its_proportion():
    counts = np.array([5000, 1000, 333, 50])
    labels = labels_of(counts)
    split = Split.stratified(labels, 0.2)
    held = np.bincount(labels[split.validation])
    assert np.all(np.abs(held - 0.2 * counts) < 1)


def test_the_seed_decides_the_split():
    labels = labels_of([40, 60])
    first, again = Split.stratified(labels, seed=3), Split.stratified(labels, seed=3)
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.validation, again.validation)
    other = Split.stratified(labels, seed=4)
    assert not np.array_equal(first.validation, other.validation)


def test_the_split_of_a_seed_never_changes():
    """A resumed run or another machine must get exactly these images (numpy's PCG64 stream)."""
    split = Split.stratified(np.arange(20) % 2, 0.2, seed=0)
    assert split.validation.tolist() == [5, 8, 12, 19]


@given(counts=COUNTS, share=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_limit_is_met_exactly_with_all_classes(counts, share, seed):
    labels = labels_of(counts)
    limit = round(2 * len(counts) + share * (len(labels) - 2 * len(counts)))
    split = Split.stratified(labels, 0.2, seed, limit)
    both = np.concatenate([split.train, split.validation])
    assert len(np.unique(both)) == len(both) == limit
    assert len(np.unique(labels[split.train])) == len(counts)


def test_a_limit_keeps_the_proportions_and_a_large_one_changes_nothing():
    labels = labels_of([600, 300, 100])
    split = Split.stratified(labels, limit=100)
    assert np.bincount(labels[split.train]).tolist() == [48, 24, 8]
    assert np.bincount(labels[split.validation]).tolist() == [12, 6, 2]
    whole, large = Split.stratified(labels), Split.stratified(labels, limit=5000)
    assert np.array_equal(whole.train, large.train)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must be between 0 and 1"):
        Split.stratified(labels_of([9, 9]), fraction)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="class 1 has 1 image"):
        Split.stratified(np.array([0, 0, 0, 1]))
    for limit in (0, -5, 3):
        with pytest.raises(ValueError, match=f"{limit} training images .* at least 2 each"):
            Split.stratified(labels_of([9, 9]), limit=limit)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        Split.stratified(np.array([], int))
