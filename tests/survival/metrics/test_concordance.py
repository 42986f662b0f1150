"""Concordance indices and areas under ROC curves, by hand and against the references."""

import lifelines.utils
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sksurv.datasets import load_gbsg2, load_whas500
from sksurv.metrics import (
    concordance_index_censored,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
)
from sksurv.util import Surv

from survival.metrics import (
    auroc,
    count_pairs,
    harrell_c,
    time_dependent_auroc,
    uno_c,
)

LOAD = {"whas500": (load_whas500, "age"), "gbsg2": (load_gbsg2, "pnodes")}


@pytest.fixture(params=LOAD)
def real(request):
    """Return follow-up of real patients in our and sksurv's form, and one covariate as score."""
    load, column = LOAD[request.param]
    x, y = load()
    event, time = (y[name] for name in y.dtype.names)
    return np.stack([time, event], axis=1), x[column].to_numpy(float), y


def test_pairs_by_hand():
    # The event at 2 is compared with 3, 4 and 5, the event at 4 with 5; 3 is censored.
    y = [[2, 1], [3, 0], [4, 1], [5, 0]]
    assert count_pairs(y, [9, 1, 5, 7]) == (3, 1, 0)
    assert harrell_c(y, [9, 1, 5, 7]) == 3 / 4
    assert harrell_c(y, [1, 1, 0, 0]) == pytest.approx((2 + 2 / 2) / 4)
    assert harrell_c(y, [[4], [3], [2], [1]]) == 1  # a column, as Keras models return


def test_an_event_at_the_time_of_a_censoring_comes_first():
    assert count_pairs([[2, 1], [2, 0]], [1, 0]) == (1, 0, 0)
    assert count_pairs([[2, 1], [2, 1], [3, 0]], [1, 0, -1]) == (2, 0, 0)


def test_harrell_against_both_references(real):
    y, risk, structured = real
    event, time = (structured[name] for name in structured.dtype.names)
    assert harrell_c(y, risk) == concordance_index_censored(event, time, risk)[0]
    reference = lifelines.utils.concordance_index(time, -risk, event)
    assert harrell_c(y, risk) == pytest.approx(reference, abs=1e-12)


def test_uno_against_scikit_survival(real):
    y, risk, structured = real
    horizon = np.quantile(y[:, 0], 0.7)
    train, test = np.arange(len(y)) % 2 == 0, np.arange(len(y)) % 2 == 1
    expected = concordance_index_ipcw(structured[train], structured[test], risk[test], horizon)[0]
    assert uno_c(y[test], risk[test], y[train], horizon) == pytest.approx(expected, rel=1e-12)


def test_uno_where_scikit_survival_refuses():
    # A patient is followed longer than all training patients, the last of whom were censored.
    y_train = np.array([[1, 1], [2, 0], [3, 1], [4, 0]])
    y = np.array([[1.5, 1], [2.5, 1], [3.5, 0], [9, 1], [10, 0]])
    risk = np.array([5, 4, 3, 2, 1])
    with pytest.raises(ValueError):
        train, test = (Surv.from_arrays(a[:, 1] == 1, a[:, 0]) for a in (y_train, y))
        concordance_index_ipcw(train, test, risk)
    # P(uncensored) is 0 from 4 on, so later times have no weight.
    assert uno_c(y, risk, y_train) == 1
    # P(uncensored) is 1 until 2 and 2/3 from then on: weights 1 and 9/4. One of the four pairs of
    # the event at 1.5 is discordant, and none of the three pairs of the event at 2.5.
    risk = np.array([3, 2.5, 4, 1, 0])
    assert uno_c(y, risk, y_train) == pytest.approx((3 + 2 * 9 / 4) / (4 + 3 * 9 / 4))


def test_uno_does_not_depend_on_the_censoring_of_the_training_data():
    random = np.random.default_rng(0)
    risk = random.normal(size=3000)
    true = random.exponential(np.exp(-risk))
    light, heavy = (random.exponential(mean, 3000) for mean in (20, 0.7))
    values = {"uno": [], "harrell": []}
    for censoring in (light, heavy):
        y = np.stack([np.minimum(true, censoring), true <= censoring], axis=1)
        values["uno"].append(uno_c(y, risk, y, horizon=1.0))
        values["harrell"].append(harrell_c(y, risk))
    assert abs(np.diff(values["uno"])[0]) < 0.01 < abs(np.diff(values["harrell"])[0])


def test_auroc_of_the_event(real):
    y, risk, _ = real
    assert auroc(y, risk) == pytest.approx(roc_auc_score(y[:, 1], risk), abs=1e-12)
    assert auroc([[9, 1], [1, 0], [1, 1], [1, 0]], [3, 2, 1, 0]) == 3 / 4


def test_time_dependent_auroc_against_scikit_survival(real):
    y, risk, structured = real
    times = np.quantile(y[y[:, 1] == 1, 0], [0.2, 0.5, 0.8])
    expected, mean = cumulative_dynamic_auc(structured, structured, risk, times)
    area, ours = time_dependent_auroc(y, risk, y, times)
    np.testing.assert_allclose(area, expected, rtol=1e-12)
    assert ours == pytest.approx(mean, rel=1e-12)


def test_time_dependent_auroc_by_hand():
    # No censoring before 3: two events until 3, two patients followed longer; 3 of 4 pairs right.
    y = np.array([[1, 1], [3, 1], [4, 0], [5, 1]])
    area, mean = time_dependent_auroc(y, [9, 2, 5, 1], y, 3)
    assert area.tolist() == [3 / 4]
    assert mean == 3 / 4


follow_ups = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(-3, 3)), min_size=2, max_size=12
)


@given(follow_ups)
def test_invariances(rows):
    time, event, risk = (np.array(column, float) for column in zip(*rows, strict=True))
    y = np.stack([time, event], axis=1)
    pairs = count_pairs(y, risk)
    # Every comparable pair, counted individually.
    i, j = np.nonzero(
        (event[:, None] == 1)
        & ((time[:, None] < time) | ((time[:, None] == time) & (event[None] == 0)))
    )
    expected = [(risk[i] > risk[j]).sum(), (risk[i] < risk[j]).sum(), (risk[i] == risk[j]).sum()]
    assert list(pairs) == expected
    assume(len(i))
    value = harrell_c(y, risk)
    assert 0 <= value <= 1
    assert harrell_c(y, -risk) == pytest.approx(1 - value)
    # Only the order of the scores counts, not their distances.
    for transformed in (np.exp(risk), 1e-12 * risk, 1e12 * risk - 5):
        assert harrell_c(y, transformed) == value
    order = np.argsort(np.sin(np.arange(len(y))))
    assert harrell_c(y[order], risk[order]) == pytest.approx(value)
    assert harrell_c(y * [1000, 1], risk) == value


@pytest.mark.parametrize(
    "y",
    [
        [[1, 0], [2, 0]],  # no event
        [[1, 0], [2, 1]],  # nobody is followed longer than the event
        [[2, 1], [2, 1]],  # both at the same time
        [[1, 1]],
    ],
)
def test_nothing_comparable(y):
    risk = np.arange(len(y))
    with pytest.raises(ValueError, match="no two patients can be compared"):
        harrell_c(y, risk)
    with pytest.raises(ValueError, match="no two patients can be compared"):
        uno_c(y, risk, [[1, 1], [2, 0], [3, 1]])


def test_bad_input():
    y = np.array([[1, 1], [2, 0], [3, 1], [4, 0]])
    with pytest.raises(ValueError, match=r"shape \(n, 2\) to \(n, 5\), not \(4,\)"):
        harrell_c(y[:, 0], np.ones(4))
    with pytest.raises(ValueError, match=r"shape \(4,\) or \(4, 1\), not \(4, 2\)"):
        harrell_c(y, np.ones((4, 2)))
    with pytest.raises(ValueError, match="1 of 4 values of risk are not finite.*diverge"):
        harrell_c(y, [1, 2, np.nan, 4])
    with pytest.raises(ValueError, match="is the second column the event"):
        harrell_c(y[:, ::-1], np.ones(4))
    with pytest.raises(ValueError, match="not negative: 1 of 4 .* -1"):
        harrell_c(y - [[0, 0], [0, 0], [4, 0], [0, 0]], np.ones(4))
    with pytest.raises(ValueError, match="4 of 4 have it"):
        auroc(np.ones((4, 2)), np.ones(4))
    with pytest.raises(ValueError, match="0 < horizon <= 4.*not 9"):
        uno_c(y, np.ones(4), y, horizon=9)
    with pytest.raises(ValueError, match="training data have no event"):
        uno_c(y, np.ones(4), y * [1, 0])
    for times in ([0.5], [4], [2, 9]):
        with pytest.raises(ValueError, match="at or after the first event at 1 and before the end"):
            time_dependent_auroc(y, np.ones(4), y, times)
    with pytest.raises(ValueError, match="increasing"):
        time_dependent_auroc(y, np.ones(4), y, [3, 2])
    with pytest.raises(ValueError, match="training data's follow-up at 2"):
        time_dependent_auroc(y, np.ones(4), [[1, 1], [2, 0]], [3])
