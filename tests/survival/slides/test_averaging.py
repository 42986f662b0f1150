"""Area averaging in pieces, compared with the integral over the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from survival.slides.averaging import area_weights, average, cells_over


def exact(values, factor):
    """Return averages of a row of pixels over cells, by its integral function.

    The last cell extends into zeros.
    """
    integral = np.concatenate([[0.0], np.cumsum(values, dtype=float)])
    borders = factor * np.arange(cells_over(len(values), factor) + 1)
    at_borders = np.interp(borders, np.arange(len(values) + 1), integral)
    return np.diff(at_borders) / factor


@given(st.data())
def test_pieces_of_any_length_and_any_factor_give_the_integral(data):
    length = data.draw(st.integers(1, 300))
    factor = data.draw(
        st.floats(1, 100) | st.integers(1, 64).map(float) | st.sampled_from([64.05, 1 / 0.3, 1.5])
    )
    inner = data.draw(st.sets(st.integers(1, max(1, length - 1)), max_size=8))
    cuts = sorted({0, length} | {c for c in inner if c < length})
    values = np.random.default_rng(length).integers(0, 256, length)
    cells = cells_over(length, factor)
    result = np.zeros(cells)
    for start, stop in zip(cuts, cuts[1:], strict=False):
        first, weights = area_weights(start, stop, factor, cells)
        result[first : first + weights.shape[0]] += weights @ values[start:stop]
    np.testing.assert_allclose(result, exact(values, factor), atol=1e-3)
    # Brightness is preserved: the sum over the cells is the sum over the pixels.
    np.testing.assert_allclose(result.sum() * factor, values.sum(), rtol=1e-5)


def test_rows_and_columns_are_averaged_by_separate_factors(tissue):
    image = tissue[500:743, 800:1001]
    cells = [cells_over(n, f) for n, f in zip(image.shape[:2], (7.3, 3.0), strict=True)]
    down, across = (
        area_weights(0, n, f, c)[1]
        for n, f, c in zip(image.shape[:2], (7.3, 3.0), cells, strict=True)
    )
    expected = np.apply_along_axis(exact, 0, image, 7.3)
    expected = np.apply_along_axis(exact, 1, expected, 3.0)
    np.testing.assert_allclose(average(image, down, across), expected, atol=1e-3)
    assert expected.shape == (34, 67, 3)


def test_rounding_errors_add_no_cell():
    assert cells_over(2500, 2500 / 2500.0000001) == 2500
    assert cells_over(160_000, 64) == 2500
    assert cells_over(160_001, 64) == 2501
    assert cells_over(3, 64) == 1
