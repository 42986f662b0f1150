"""Value and gradient of the partial likelihood, compared with definitions and other libraries."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.losses import negative_log_partial_likelihood

pytestmark = pytest.mark.any_backend
TIES = ("breslow", "efron")


def loss(y, ties="breslow", sample_weight=None):
    return lambda h: negative_log_partial_likelihood(y, h, sample_weight, ties)


def cohort(rows, seed=0, times=None, columns=2, spread=1.0):
    """Return targets with many ties, and log-hazards."""
    random = np.random.default_rng(seed)
    y = np.stack(
        [
            random.integers(0, times or max(rows // 4, 2), rows),
            random.integers(0, 2, rows),
            random.integers(0, 3, rows),
            random.choice([0, 0.3, 1, 2], rows),
        ],
        axis=1,
    ).astype("float32")[:, :columns]
    return y, (spread * random.normal(size=rows)).astype("float32")


def assert_close(found, expected, tolerance=3e-6):
    """Compare value and gradient, the latter relative to its largest entry."""
    assert found[0] == pytest.approx(expected[0], rel=tolerance, abs=tolerance)
    scale = max(1.0, np.abs(expected[1]).max())
    np.testing.assert_allclose(found[1], expected[1], atol=tolerance * scale, rtol=0)


# Only a few lengths, because a backend may compile for each of them. They cover a single table
# and one and two levels of blocks.
@st.composite
def cohorts(draw):
    rows = draw(st.sampled_from([1, 2, 5, 40, 100]))
    y, h = cohort(
        rows,
        seed=draw(st.integers(0, 2**32 - 1)),
        times=draw(st.sampled_from([1, 3, 1000])),
        columns=draw(st.sampled_from([2, 3, 4])),
        spread=draw(st.sampled_from([0.0, 1.0, 30.0, 300.0])),
    )
    y[:, 1] *= draw(st.sampled_from([0, 1, 1, 1]))  # some without events
    return y, h


@pytest.mark.parametrize("ties", TIES)
@settings(max_examples=25)
@given(cohorts())
def test_value_and_gradient_follow_the_definition(value_and_gradient, brute_force, ties, case):
    y, h = case
    assert_close(value_and_gradient(loss(y, ties), h), brute_force(y, h, ties))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("columns", [2, 3, 4])
def test_thousands_of_rows_equal_the_direct_sums(value_and_gradient, brute_force, ties, columns):
    # More than 4096 rows, so that every method of summation is used.
    y, h = cohort(4500, columns=columns, spread=2.0)
    assert_close(value_and_gradient(loss(y, ties), h), brute_force(y, h, ties), 1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("columns", [2, 3, 4])
def test_float64_is_kept(value_and_gradient, brute_force, ties, columns):
    y, h = cohort(4500, columns=columns, spread=2.0)
    h = h.astype("float64")
    found, expected = value_and_gradient(loss(y, ties), h), brute_force(y, h, ties)
    assert found[1].dtype == "float64"
    # Keras 3.15 rounds sums over segments to float32 on torch.
    rounded = keras.backend.backend() == "torch" and ties == "efron" and columns > 2
    assert_close(found, expected, 1e-7 if rounded else 1e-11)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("spread", [1290.0, 1310.0])
def test_both_methods_are_exact_at_the_spread_where_they_switch(
    value_and_gradient, brute_force, ties, spread
):
    y, h = cohort(300, columns=4)
    y[:, 2] = 7
    h *= np.float32(spread / np.ptp(h[y[:, 3] > 0]))
    h[y[:, 3] == 0] = np.nan
    there = y[:, 3] > 0
    value, gradient = value_and_gradient(loss(y, ties), h)
    expected = brute_force(y, np.where(there, h, 0), ties)
    assert_close((value, gradient), expected)
    assert (gradient[~there] == 0).all()


@pytest.mark.slow_on("jax")
def test_strata_may_begin_anywhere_in_a_block(value_and_gradient, brute_force):
    for size in (1, 3, 31, 32, 33):
        y, h = cohort(330, columns=3, spread=3.0)
        y[:, 2] = np.arange(330) // size
        assert_close(value_and_gradient(loss(y), h), brute_force(y, h))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of unknown size")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.slow
def test_number_of_rows_unknown_when_traced(brute_force, jit_compile):
    import tensorflow as tf

    @tf.function(
        input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None, 1))],
        jit_compile=jit_compile,
    )
    def value_and_gradient(y, h):
        with tf.GradientTape() as tape:
            tape.watch(h)
            value = negative_log_partial_likelihood(y, h, ties="efron")
        return value, tape.gradient(value, h)[:, 0]

    for rows in (1, 31, 64, 2500):
        y, h = cohort(rows, columns=3, spread=10.0)
        found = (x.numpy() for x in value_and_gradient(y, h[:, None]))
        assert_close(tuple(found), brute_force(y, h, "efron"))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
def test_exact_at_a_spread_of_100_and_more(value_and_gradient, brute_force, ties):
    # Low risks have the last events: the sum over the last risk set is at most e^-100 times that
    # over the first.
    rows = 500
    for spread in (100, 1000):
        h = np.linspace(spread, 0, rows).astype("float32")
        y = np.stack([np.arange(rows) // 2, np.ones(rows)], axis=1).astype("float32")
        found = value_and_gradient(loss(y, ties), h)
        assert_close(found, brute_force(y, h, ties))
        # The other way round: low risks have the first events.
        found = value_and_gradient(loss(y, ties), h[::-1].copy())
        assert_close(found, brute_force(y, h[::-1], ties))


@pytest.mark.parametrize("ties", TIES)
def test_gradient_is_the_derivative(value_and_gradient, ties):
    y, h = cohort(12, seed=3, columns=4)
    _, gradient = value_and_gradient(loss(y, ties), h)
    step = 0.05
    for row in range(len(h)):
        shift = step * np.eye(len(h), dtype="float32")[row]
        # A difference of fourth order, because float32 leaves few digits.
        values = [float(loss(y, ties)(h + k * shift)) for k in (-2, -1, 1, 2)]
        difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        assert gradient[row] == pytest.approx(difference, abs=2e-4)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", ["whas500", "gbsg2", "veterans_lung_cancer"])
@pytest.mark.slow_on("jax")
def test_gradient_is_zero_at_the_optimum_of_scikit_survival(value_and_gradient, ties, name):
    """Real cohorts with ties: 500, 686 and 137 patients."""
    datasets = pytest.importorskip("sksurv.datasets")
    from sksurv.column import encode_categorical
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    x, outcome = getattr(datasets, f"load_{name}")()
    x = encode_categorical(x).to_numpy("float64")
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    model = CoxPHSurvivalAnalysis(ties=ties, tol=1e-12, n_iter=200).fit(x, outcome)
    event, time = (outcome[field].astype("float64") for field in outcome.dtype.names)
    assert len(np.unique(time[event == 1])) < event.sum()
    y = np.stack([time, event], axis=1)
    _, by_row = value_and_gradient(loss(y, ties), (x @ model.coef_).astype("float32"))
    np.testing.assert_allclose(x.T @ by_row / event.sum(), 0, atol=2e-6)
    # The other treatment of ties has its optimum elsewhere, so the test can tell them apart.
    other = TIES[1 - TIES.index(ties)]
    _, by_row = value_and_gradient(loss(y, other), (x @ model.coef_).astype("float32"))
    assert np.abs(x.T @ by_row / event.sum()).max() > 2e-5


def test_log_likelihood_of_lifelines():
    """Compare on lifelines' Rossi data with Efron's ties: plain, with strata, with weights."""
    lifelines = pytest.importorskip("lifelines")
    from lifelines.datasets import load_rossi

    data = load_rossi()
    data["weight"] = 1 + data["prio"] % 3
    for options in (
        {},
        {"strata": ["wexp"]},
        {"weights_col": "weight", "robust": True},
    ):
        used = data if "weights_col" in options else data.drop(columns="weight")
        fitter = lifelines.CoxPHFitter().fit(used, "week", "arrest", **options)
        log_hazard = used[fitter.params_.index].to_numpy() @ fitter.params_.to_numpy()
        columns = [data["week"], data["arrest"]]
        if "strata" in options:
            columns.append(data["wexp"])
        weight = data["weight"] if "weights_col" in options else None
        found = negative_log_partial_likelihood(
            np.stack(columns, axis=1), log_hazard, weight, ties="efron"
        )
        assert float(found) == pytest.approx(-fitter.log_likelihood_, rel=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torchsurv runs on torch")
@pytest.mark.parametrize("ties", TIES)
def test_torchsurv_where_it_is_finite(value_and_gradient, ties):
    import torch

    cox = pytest.importorskip("torchsurv.loss.cox")
    y, h = cohort(300, columns=3)
    time, event, stratum = torch.tensor(y).T
    for columns, strata in ((2, None), (3, stratum.long())):
        expected = value_and_gradient(
            lambda h, strata=strata: cox.neg_partial_log_likelihood(
                h, event.bool(), time, ties, reduction="sum", strata=strata
            ),
            h,
        )
        assert_close(value_and_gradient(loss(y[:, :columns], ties), h), expected, 1e-5)


@pytest.mark.parametrize("ties", TIES)
@settings(max_examples=12)
@given(cohorts(), st.integers(-1000, 1000), st.integers(0, 2**32 - 1))
def test_invariances_of_the_partial_likelihood(value_and_gradient, ties, case, shift, seed):
    y, h = case
    expected = value_and_gradient(loss(y, ties), h)
    # Whole numbers, so that a shift changes no difference of log-hazards by rounding.
    whole = np.round(h)
    shifted = value_and_gradient(loss(y, ties), whole + np.float32(shift))
    assert_close(shifted, value_and_gradient(loss(y, ties), whole))
    # Only the order of times counts.
    transformed = np.concatenate([np.sqrt(1 + y[:, :1]), y[:, 1:]], axis=1)
    assert_close(value_and_gradient(loss(transformed, ties), h), expected)
    order = np.random.default_rng(seed).permutation(len(h))
    value, gradient = value_and_gradient(loss(y[order], ties), h[order])
    assert_close((value, gradient[np.argsort(order)]), expected)
    # The loss does not change with a common shift, so the gradient sums to 0.
    assert abs(expected[1].sum()) <= 1e-5 * max(1, np.abs(expected[1]).sum())


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.slow_on("jax")
def test_strata_add_up(value_and_gradient, ties):
    y, h = cohort(90, columns=3, spread=40.0)
    y[:, 2] = 1000 * (y[:, 2] - 1)  # any whole numbers
    value, gradient = value_and_gradient(loss(y, ties), h)
    alone = np.zeros_like(gradient)
    values = 0.0
    for stratum in np.unique(y[:, 2]):
        rows = y[:, 2] == stratum
        part, alone[rows] = value_and_gradient(loss(y[rows, :2], ties), h[rows])
        values += part
    assert_close((value, gradient), (values, alone))


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("ties", TIES)
def test_masked_rows_have_no_effect(value_and_gradient, ties):
    y, h = cohort(90, columns=3)
    present = np.random.default_rng(1).random(90) < 0.7
    expected = value_and_gradient(loss(y[present], ties), h[present])
    h = np.where(present, h, np.nan)  # any output for a padding row
    for mask in (present, present.astype("float32"), present[:, None]):
        value, gradient = value_and_gradient(loss(y, ties, mask), h)
        assert_close((value, gradient[present]), expected)
        assert not gradient[~present].any()


def test_an_integer_weight_is_the_same_as_repeated_rows(value_and_gradient):
    y, h = cohort(40, columns=3)
    times = np.random.default_rng(1).integers(0, 4, 40)
    value, gradient = value_and_gradient(loss(y, "breslow", times), h)
    expected, repeated = value_and_gradient(loss(np.repeat(y, times, axis=0)), np.repeat(h, times))
    summed = np.bincount(np.repeat(np.arange(40), times), repeated, minlength=40)
    assert_close((value, gradient), (expected, summed))


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize(
    "y",
    [
        [[1, 0], [2, 0], [3, 0]],  # no event
        [[1, 0, 0], [2, 1, 1], [1, 0, 0]],  # an event with no other row at risk
        [[1, 1, 0, 0], [2, 1, 0, 0], [3, 1, 0, 0]],  # all weights are 0
    ],
)
def test_without_comparisons_value_and_gradient_are_zero(value_and_gradient, ties, y):
    value, gradient = value_and_gradient(loss(y, ties), np.array([1.0, -300.0, 20.0], "float32"))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.slow_on("jax")
def test_half_precision_is_computed_in_float32(value_and_gradient):
    y, h = cohort(200, spread=30.0)
    for dtype in ("float16", "bfloat16"):
        half = keras.ops.cast(h, dtype)
        exact = keras.ops.convert_to_numpy(keras.ops.cast(half, "float32"))
        value = loss(y)(half)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        expected, by_row = value_and_gradient(loss(y), exact)
        assert float(value) == pytest.approx(expected, rel=1e-6)
        _, gradient = value_and_gradient(
            lambda h, dtype=dtype: loss(y)(keras.ops.cast(h, dtype)), exact
        )
        np.testing.assert_allclose(gradient, by_row, rtol=1e-2, atol=1e-3)


def test_log_hazards_may_be_a_column(value_and_gradient):
    y, h = cohort(20)
    value, gradient = value_and_gradient(loss(y), h)
    assert_close(value_and_gradient(lambda h: loss(y)(h[:, None]), h), (value, gradient))


def test_nan_in_a_log_hazard_gives_nan():
    y, h = cohort(20)
    h[3] = np.nan
    assert np.isnan(float(loss(y)(h)))


def test_a_bad_argument_is_named_in_the_error():
    y, h = cohort(20)
    with pytest.raises(ValueError, match="ties must be one of 'breslow', 'efron', not 'exact'"):
        negative_log_partial_likelihood(y, h, ties="exact")
    with pytest.raises(ValueError, match=r"log_hazard must have one value for each row.*\(19,\)"):
        negative_log_partial_likelihood(y, h[1:])
    with pytest.raises(ValueError, match=r"log_hazard .*\(20, 2\)"):
        negative_log_partial_likelihood(y, np.stack([h, h], axis=1))
    with pytest.raises(ValueError, match="sample_weight must have one value for each row"):
        negative_log_partial_likelihood(y, h, np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(n, 2\), .* got \(20, 1\)"):
        negative_log_partial_likelihood(keras.ops.ones((20, 1)), h)
    y[4, 1] = 2
    with pytest.raises(ValueError, match="an event must be 1 .* got 2 in row 4"):
        negative_log_partial_likelihood(y, h)


def test_without_rows_the_loss_is_0(value_and_gradient):
    y, h = np.zeros((0, 2), "float32"), np.zeros(0, "float32")
    value, gradient = value_and_gradient(loss(y), h)
    assert value == 0 and gradient.shape == (0,)
