"""The partial likelihood of rows whose observation begins late (left truncation)."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival import CoxPHLoss
from survival.losses import negative_log_partial_likelihood

pytestmark = pytest.mark.any_backend
TIES = ("breslow", "efron")


def loss(y, ties="breslow", sample_weight=None):
    return lambda h: negative_log_partial_likelihood(y, h, sample_weight, ties)


def late_cohort(rows, seed=0, times=None, spread=1.0, strata=3, weights=(0, 0.3, 1, 2)):
    """Return targets with ties among times, among entries, and between both; and log-hazards."""
    random = np.random.default_rng(seed)
    time = random.integers(0, times or max(rows // 4, 2), rows)
    # A third of the rows are at risk from the start, as are those whose time is 0.
    entry = np.where(random.random(rows) < 1 / 3, 0, random.integers(0, np.maximum(time, 1)))
    columns = [
        time,
        random.integers(0, 2, rows),
        random.integers(0, strata, rows),
        random.choice(weights, rows),
        entry,
    ]
    h = (spread * random.normal(size=rows)).astype("float32")
    return np.stack(columns, axis=1).astype("float32"), h


def assert_close(found, expected, tolerance=3e-6):
    """Compare value and gradient, the latter relative to its largest entry."""
    assert found[0] == pytest.approx(expected[0], rel=tolerance, abs=tolerance)
    scale = max(1.0, np.abs(expected[1]).max())
    np.testing.assert_allclose(found[1], expected[1], atol=tolerance * scale, rtol=0)


# Only a few lengths, because a backend may compile for each of them.
@st.composite
def late_cohorts(draw):
    return late_cohort(
        draw(st.sampled_from([1, 5, 40])),
        seed=draw(st.integers(0, 2**32 - 1)),
        times=draw(st.sampled_from([1, 3, 1000])),
        spread=draw(st.sampled_from([0.0, 1.0, 30.0, 1000.0])),
        strata=draw(st.sampled_from([1, 3])),
    )


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
@settings(max_examples=12)
@given(late_cohorts())
def test_value_and_gradient_follow_the_definition(value_and_gradient, brute_force, ties, case):
    y, h = case
    assert_close(value_and_gradient(loss(y, ties), h), brute_force(y, h, ties))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
def test_thousands_of_rows_equal_the_direct_sums(value_and_gradient, brute_force, ties):
    y, h = late_cohort(3000, spread=2.0)
    assert_close(value_and_gradient(loss(y, ties), h), brute_force(y, h, ties), 1e-5)


@pytest.mark.slow_on("jax")
def test_at_large_spreads_rows_outside_the_risk_set_have_no_effect(value_and_gradient, brute_force):
    # Hazards fall by e^1000 from the first to the last. Each row enters a little before its time,
    # so the largest hazards are in early risk sets alone.
    rows = 160
    time = np.arange(1.0, rows + 1)
    y = np.stack(
        [time, np.ones(rows), 0 * time, 1 + 0 * time, np.maximum(time - 5, 0)], axis=1
    ).astype("float32")
    # Without float64, a log-hazard of 1000 is rounded to 6e-5, and so are its differences.
    tolerance = 3e-5 if keras.backend.backend() == "jax" else 3e-6
    for h in (np.linspace(1000, 0, rows), np.linspace(0, 1000, rows)):
        h = h.astype("float32")
        assert_close(value_and_gradient(loss(y), h), brute_force(y, h), tolerance)
        # A single event: in a sum over events a large term could hide the error of a small one.
        one = y.copy()
        one[:, 1] = time == rows - 7
        assert_close(value_and_gradient(loss(one), h), brute_force(one, h), tolerance)


@pytest.mark.parametrize("ties", TIES)
def test_entries_of_0_are_the_same_as_no_entries(value_and_gradient, ties):
    y, h = late_cohort(40, spread=3.0)
    y[:, 4] = 0
    assert_close(value_and_gradient(loss(y, ties), h), value_and_gradient(loss(y[:, :4], ties), h))


@pytest.mark.slow_on("jax")
def test_a_row_that_enters_at_the_time_of_an_event_is_not_at_risk():
    y = np.array([[3, 1, 0, 1, 0], [5, 0, 0, 1, 0], [6, 0, 0, 1, 3], [7, 0, 0, 1, 2.5]])
    # At risk at the first event: the row itself, the second row and the last.
    assert float(loss(y)(np.zeros(4, "float32"))) == pytest.approx(np.log(3))
    # Being at risk from the start includes time 0.
    y = np.array([[0, 1, 0, 1, 0], [5, 0, 0, 1, 0], [6, 0, 0, 1, 3]])
    assert float(loss(y)(np.zeros(3, "float32"))) == pytest.approx(np.log(2))


@pytest.mark.parametrize("strata", [[], ["surgery"]])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.slow_on("jax")
def test_lifelines_on_heart_transplants(value_and_gradient, strata, weighted):
    """Compare with lifelines' CoxPHFitter: log-likelihood and optimum, entry_col, Efron's ties."""
    lifelines = pytest.importorskip("lifelines")
    data = lifelines.datasets.load_stanford_heart_transplants().drop(columns="id")
    assert (data["start"] > 0).sum() == 69 and data["stop"][data["event"] == 1].duplicated().any()
    data["weight"] = 1 + data.index % 3 if weighted else 1
    fitter = lifelines.CoxPHFitter().fit(
        data, "stop", "event", entry_col="start", strata=strata or None, weights_col="weight",
        robust=True, fit_options={"precision": 1e-10},
    )  # fmt: skip
    x = data[fitter.params_.index].to_numpy("float64")
    x = x - x.mean(axis=0)
    stratum = data["surgery"] if strata else 0 * data["event"]
    y = np.stack([data[c] for c in ("stop", "event")] + [stratum, data["weight"], data["start"]], 1)
    h = (x @ fitter.params_.to_numpy()).astype("float32")
    value, gradient = value_and_gradient(loss(y, "efron"), h)
    assert value == pytest.approx(-fitter.log_likelihood_, rel=1e-6)
    np.testing.assert_allclose(x.T @ gradient / y[:, 1].sum(), 0, atol=1e-4)
    # Without the entries the optimum is elsewhere, so the test detects if they are ignored.
    _, ignored = value_and_gradient(loss(y[:, :4], "efron"), h)
    assert np.abs(x.T @ ignored / y[:, 1].sum()).max() > 1e-2


@pytest.mark.parametrize("ties", TIES)
def test_gradient_is_the_derivative_along_a_direction(value_and_gradient, ties):
    y, h = late_cohort(40, seed=3)
    _, gradient = value_and_gradient(loss(y, ties), h)
    direction = np.random.default_rng(0).normal(size=40).astype("float32")
    step = np.float32(0.05)
    # A difference of fourth order, because float32 leaves few digits.
    values = [float(loss(y, ties)(h + k * step * direction)) for k in (-2, -1, 1, 2)]
    difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    assert gradient @ direction == pytest.approx(difference, rel=1e-3)


@pytest.mark.slow_on("jax")
def test_weights_of_fit_multiply_the_weight_column_and_keep_the_entry(value_and_gradient):
    y, h = late_cohort(40)
    present = np.random.default_rng(1).random(40) < 0.7
    expected = value_and_gradient(loss(y[present]), h[present])
    value, gradient = value_and_gradient(
        loss(y, sample_weight=present), np.where(present, h, np.nan)
    )
    assert_close((value, gradient[present]), expected)
    assert not gradient[~present].any()
    events = (y[:, 1] * y[:, 3] * present).sum()
    assert float(CoxPHLoss()(y, h, present)) == pytest.approx(expected[0] / events, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
def test_float64_is_kept(value_and_gradient, brute_force):
    y, h = late_cohort(1000, spread=2.0)
    found = value_and_gradient(loss(y), h.astype("float64"))
    assert found[1].dtype == "float64"
    assert_close(found, brute_force(y, h), 1e-11)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of unknown size")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_number_of_rows_unknown_when_traced(brute_force, jit_compile):
    import tensorflow as tf

    @tf.function(
        input_signature=[tf.TensorSpec((None, 5)), tf.TensorSpec((None,))],
        jit_compile=jit_compile,
    )
    def value_and_gradient(y, h):
        with tf.GradientTape() as tape:
            tape.watch(h)
            value = negative_log_partial_likelihood(y, h, ties="efron")
        return value, tape.gradient(value, h)

    for rows in (1, 600):
        y, h = late_cohort(rows, spread=10.0)
        found = (x.numpy() for x in value_and_gradient(y, h))
        assert_close(tuple(found), brute_force(y, h, "efron"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            [3, 1, 0, 1, 3],
            r"an entry must be 0 \(from the start\), or > 0 and before the time, got 3",
        ),
        ([3, 1, 0, 1, 4], "before the time, got 4 in row 1"),
        ([3, 1, 0, 1, -1], "before the time, got -1 in row 1"),
        ([3, 1, 0, 1, np.nan], "before the time, got nan in row 1"),
        ([16777217, 1, 0, 1, 16777216.5], "before the time"),  # equal in float32
    ],
)
def test_bad_entries_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        CoxPHLoss()(np.array([[5, 1, 0, 1, 0], row]), np.zeros(2))
