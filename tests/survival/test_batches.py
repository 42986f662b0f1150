"""Batches with an event in each, which do not divide patients."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survival import CoxPHLoss
from survival.batches import EventBalancedBatches, padded

pytestmark = pytest.mark.any_backend


@st.composite
def cohorts(draw):
    """Return the rows of patients in any order; the rows of a patient have the same event."""
    size = draw(st.integers(1, 9))
    slides = draw(st.lists(st.integers(1, size), min_size=1, max_size=60))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    died = random.random(len(slides)) < share
    owner = random.permutation(np.repeat(np.arange(len(slides)), slides))
    return size, died, owner


@given(cohorts(), st.integers(0, 99), st.integers(0, 99))
def test_every_epoch_deals_out_all_rows(cohort, seed, epoch):
    size, died, owner = cohort
    names = np.array([f"TCGA-{i:03}" for i in range(len(died))])
    batches = EventBalancedBatches(died[owner], size, names[owner], seed)
    rows = batches.epoch(epoch)
    assert sorted(np.concatenate(rows)) == list(range(len(owner)))
    assert len(rows) == len(batches)
    assert all(0 < len(batch) <= size for batch in rows)
    # Each patient is in one batch.
    assert sum(len(np.unique(owner[batch])) for batch in rows) == len(died)
    # As many batches as possible have an event, and none has two more than another.
    events = [len(np.unique(owner[b][died[owner[b]]])) for b in rows]
    assert np.count_nonzero(events) == min(died.sum(), len(rows))
    if owner.size == len(died):
        assert max(events) - min(events) <= 1
        assert len(rows) == -(-len(owner) // size)
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_the_batches_depend_only_on_seed_and_epoch():
    random = np.random.default_rng(0)
    died, patients = random.random(60) < 0.3, np.repeat(np.arange(30), 2)

    def epoch(seed, number):
        batches = EventBalancedBatches(died, 8, patients, seed).epoch(number)
        return [batch.tolist() for batch in batches]

    assert epoch(1, 5) == epoch(1, 5)
    assert epoch(1, 5) != epoch(1, 6) != epoch(2, 6)
    # An epoch is the same if it is requested again, or in another order.
    batches = EventBalancedBatches(died, 8, patients, 1)
    batches.epoch(9)
    assert [b.tolist() for b in batches.epoch(5)] == epoch(1, 5)
    # Any two patients are in the same batch at some time.
    met = np.eye(30, dtype=bool)
    for number in range(150):
        for batch in batches.epoch(number):
            met[np.ix_(patients[batch], patients[batch])] = True
    assert met.all()


def test_as_batches_of_a_training():
    class Slides(keras.utils.PyDataset):
        def __init__(self, x, y, batches):
            super().__init__()
            self.x, self.y, self.batches = x, y, batches
            self.epoch, self.rows, self.seen = 0, batches.epoch(0), set()

        def __len__(self):
            return len(self.batches)

        def __getitem__(self, i):
            self.seen.add((self.epoch, *sorted(self.rows[i].tolist())))
            rows, weight = padded(self.rows[i], self.batches.batch_size)
            return self.x[rows], self.y[rows], weight

        def on_epoch_end(self):
            self.epoch += 1
            self.rows = self.batches.epoch(self.epoch)

    random = np.random.default_rng(0)
    x = random.normal(size=(22, 3)).astype("float32")
    y = np.stack([random.exponential(size=22), np.arange(22) % 3 == 0], axis=1).astype("float32")
    batches = EventBalancedBatches(y[:, 1], 5, seed=4)
    slides = Slides(x, y, batches)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", CoxPHLoss())
    losses = model.fit(slides, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and min(losses) > 0
    # Keras also reports the end of an epoch when a fit starts.
    expected = {(e, *sorted(b.tolist())) for e in (1, 2) for b in batches.epoch(e)}
    assert expected <= slides.seen


def test_padded_rows_have_weight_0_and_repeat_the_first():
    rows, weight = padded(np.array([7, 3, 9]), 5)
    assert rows.tolist() == [7, 3, 9, 7, 7]
    assert weight.tolist() == [1, 1, 1, 0, 0]
    assert weight.dtype == "float32"
    rows, weight = padded(np.array([7]), 1)
    assert rows.tolist() == [7] and weight.tolist() == [1]
    for wrong in ([], [1, 2, 3]):
        with pytest.raises(ValueError, match=f"cannot pad {len(wrong)} rows to 2"):
            padded(np.array(wrong, int), 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0, 1, 2], 2), "events must be 0 or 1"),
        (([], 2), "at least one row"),
        (([[0, 1]], 2), "events must be"),
        (([0, np.nan], 2), "events must be"),
        (([0, 1], 0), "batch_size must be a whole number >= 1, not 0"),
        (([0, 1], 2.0), "batch_size must be a whole number"),
        (([0, 1], 2, ["a"]), r"patients must have .* each of the 2 rows; got shape \(1,\)"),
        (
            ([0, 1, 1], 2, ["a", "a", "a"]),
            "patient a has 3 slides, .* one batch of 2: choose larger",
        ),
    ],
)
def test_a_bad_argument_is_named_in_the_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        EventBalancedBatches(*arguments)
