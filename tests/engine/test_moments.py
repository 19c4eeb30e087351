"""Moments of columns: compared with exact arithmetic, in each order and dtype, with outliers, in streams."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from skwakesleep._engine.machine.codecs import CONSTANT_VARIANCE, Standardization
from skwakesleep._engine.machine.moments import BLOCK_COLUMNS, BLOCK_ROWS, measure

RNG = np.random.default_rng(0)


def exact_moments(column):
    """Return mean and standard deviation of a column, in rational arithmetic."""
    values = [Fraction(float(value)) for value in column]
    mean = sum(values) / len(values)
    return float(mean), float(sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [3, 100, BLOCK_ROWS + 1, 1000])
def test_a_constant_column_is_recognized_whatever_its_value(n_rows, dtype):
    """The plain mean of a thousand times 0.1 differs from 0.1 by more than rounding, in either order of memory."""
    values = np.arange(200) / 100
    X = np.column_stack([RNG.normal(size=n_rows), np.tile(values, (n_rows, 1))]).astype(dtype)
    for table in X, np.asfortranarray(X), sparse.csr_array(X):
        moments = measure(table)
        assert (moments.deviations == 0).tolist() == [False] + [True] * 200
        np.testing.assert_array_equal(moments.means[1:], X[0, 1:])


def test_the_plain_mean_does_not_recognize_a_constant_column():
    """Negative control."""
    X = np.tile(np.arange(200) / 100, (1000, 1))
    assert (abs(X.mean(axis=0) - X[0]) > 10 * np.spacing(X[0])).mean() > 0.5


def test_values_an_ulp_apart_are_constant_and_three_are_not():
    value = 0.1
    for n_ulps, constant in ((1, True), (2, True), (3, False)):
        other = value + n_ulps * np.spacing(value)
        assert (measure(np.array([[value], [other], [value]])).deviations[0] == 0) == constant


@pytest.mark.parametrize(
    "column",
    [
        (1.7e9 + 500 * RNG.normal(size=300)).astype(np.float32),
        1e9 + 1e-6 * RNG.integers(100, size=300),
        RNG.normal(size=300) * 1e-300,
        RNG.normal(size=300) * 1e300,
        np.r_[RNG.normal(size=299), 25.0],
    ],
    ids=["far from zero, single", "far from zero, double", "tiny", "huge", "skewed"],
)
def test_moments_are_those_of_exact_arithmetic(column):
    scale = max(abs(column).max().item(), 1e-300)
    mean, deviation = (scale * moment for moment in exact_moments(column / np.float64(scale)))
    moments = measure(column[:, np.newaxis])
    assert moments.means[0] == pytest.approx(mean, rel=1e-12)
    assert moments.deviations[0] == pytest.approx(deviation, rel=1e-4)


@pytest.mark.parametrize("value", [1e3, 1e6, -1e300])
def test_an_extreme_value_is_counted_and_changes_no_moment(value):
    X = RNG.normal(size=(1000, 3))
    spoiled = X.copy()
    spoiled[17, 1] = value
    clean, moments = measure(np.delete(X, 17, axis=0)), measure(spoiled)
    assert moments.n_extreme.tolist() == [0, 1, 0]
    assert moments.means[1] == pytest.approx(clean.means[1], abs=1e-12)
    assert moments.deviations[1] == pytest.approx(clean.deviations[1], rel=1e-12)


def test_heavy_tails_and_clusters_are_not_extreme():
    X = np.column_stack(
        [
            RNG.standard_t(3, size=1000),
            RNG.lognormal(size=1000),
            np.where(RNG.random(1000) < 0.3, 1e4, 0) + RNG.normal(size=1000),
            np.where(RNG.random(1000) < 0.92, 0, RNG.lognormal(9, size=1000)),
        ]
    )
    moments = measure(X)
    assert not moments.n_extreme.any()
    np.testing.assert_allclose(moments.deviations, X.std(axis=0), rtol=1e-10)


def test_the_gap_is_the_resolution():
    """Also if equal values were computed in different ways, or if a few values were not rounded."""
    tenths = RNG.integers(-30, 30, size=1000) / 10
    noisy = np.where(RNG.random(1000) < 0.5, tenths, tenths * (1 + np.finfo(float).eps))
    refined = np.r_[tenths[:990], RNG.normal(size=10)]
    gaps = measure(np.column_stack([tenths, noisy, refined, RNG.integers(2, size=1000), RNG.normal(size=1000)])).gaps
    np.testing.assert_allclose(gaps[:4], [0.1, 0.1, 0.1, 1], rtol=1e-9)
    assert gaps[4] < 0.01


def test_the_smallest_variance_is_that_of_rounding():
    tenths = RNG.integers(-30, 30, size=1000) / 10
    flag, constant = RNG.integers(2, size=1000), np.full(1000, 0.3)
    clusters = RNG.normal(size=1000) + np.repeat([0, 1e4], 500)
    codec = Standardization.of_table(np.column_stack([tenths, flag, constant, clusters]))
    deviations = codec.scale * np.sqrt(codec.smallest_variance)
    np.testing.assert_allclose(deviations[:2], np.array([0.1, 1]) / np.sqrt(12), rtol=1e-6)
    assert codec.scale[2] == 1
    assert codec.smallest_variance[2] == pytest.approx(CONSTANT_VARIANCE)
    assert deviations[3] < 0.01  # the clusters have a width of one; the distance between them does not count


@pytest.mark.parametrize("sizes", [(1, 999), (500, 500), (1, 1, 998), (5, 5, 990)], ids=str)
def test_parts_of_a_stream_have_the_moments_of_the_whole(sizes):
    X = RNG.normal(size=(1000, 3)) * [1, 1e-9, 1e9] + [0, 5, -3]
    whole = measure(X)
    merged, *rest = [measure(part) for part in np.split(X, np.cumsum(sizes)[:-1])]
    for part in rest:
        merged = merged.merged(part)
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-9)
    np.testing.assert_allclose(merged.deviations, whole.deviations, rtol=1e-6)


def test_the_moments_of_a_wrong_first_row_are_dropped():
    X, wrong = RNG.normal(size=(500, 2)), np.array([0, 1e7])
    first = X[:1] + wrong
    rest = measure(X[1:])
    merged = measure(first).merged(rest)
    assert merged.counts.tolist() == [500, 499]
    assert merged.n_extreme.tolist() == [0, 1]
    assert merged.means[1] == rest.means[1]
    assert merged.deviations[1] == pytest.approx(rest.deviations[1], rel=1e-12)
    # Many rows are kept, and so are few rows that come later.
    assert measure(X + wrong).merged(rest).counts.tolist() == [999, 999]
    assert rest.merged(measure(first)).counts.tolist() == [500, 500]


def test_constant_parts_are_constant_together_if_they_are_equal():
    same, other = (measure(np.full((4, 2), value)) for value in (0.1, 0.2))
    assert not same.merged(measure(np.full((9, 2), 0.1))).deviations.any()
    together = same.merged(other)
    np.testing.assert_allclose(together.deviations, 0.05)
    np.testing.assert_allclose(together.gaps, 0.1)


def test_values_too_far_apart_name_their_column():
    with pytest.raises(OverflowError) as caught:
        measure(np.array([[0.0, 1.7e308], [1.0, -1.7e308]]))
    assert caught.value.args == (1,)


def test_wide_sparse_tables():
    X = sparse.random_array((50, 2 * BLOCK_COLUMNS + 1), density=0.3, format="csr", rng=1)
    from_dense, from_sparse = measure(X.toarray()), measure(X)
    for name, values in vars(from_dense).items():
        np.testing.assert_array_equal(values, vars(from_sparse)[name])
