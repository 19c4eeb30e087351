"""Missing cells are replaced by their conditional means given the observed cells of the row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skwakesleep._engine.amortised.filling import Filling

FACTOR = np.array([[20.0, 0.0, 0.0], [1.0, 1.5, 0.0], [3.0, 0.3, 1.0]])
MEAN, COVARIANCE = np.array([50.0, -1.0, 10.0]), FACTOR @ FACTOR.T


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_holes(x, share, rng):
    return np.where(rng.random(x.shape) < share, np.nan, x)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_predictions_are_conditional_means_of_normal_rows(share, rng):
    X = with_holes(MEAN + rng.standard_normal((1000, 3)) @ FACTOR.T, share, rng)
    filling = Filling(X)
    rows = MEAN + rng.standard_normal((50, 3)) @ FACTOR.T
    for pattern in [[0], [1], [2], [0, 1], [0, 2], [1, 2]]:
        x, seen = rows.copy(), np.setdiff1d(range(3), pattern)
        x[:, pattern] = np.nan
        gain = np.linalg.solve(COVARIANCE[np.ix_(seen, seen)], COVARIANCE[np.ix_(seen, pattern)])
        expected = MEAN[pattern] + (rows[:, seen] - MEAN[seen]) @ gain
        filled = filling(x)
        assert_array_equal(filled[:, seen], rows[:, seen])
        deviations = np.sqrt(COVARIANCE[pattern, pattern])
        assert_allclose(filled[:, pattern] / deviations, expected / deviations, atol=0.35)
    empty = filling(np.full((1, 3), np.nan))[0]
    assert_allclose(empty / FACTOR.diagonal(), MEAN / FACTOR.diagonal(), atol=0.4)


def test_complete_rows_are_unchanged(rng):
    X = rng.standard_normal((20, 3))
    assert Filling(X)(X) is X


@pytest.mark.parametrize("column", [np.nan, 7.0])
def test_empty_and_constant_columns_give_finite_rows(column, rng):
    X = with_holes(rng.standard_normal((50, 3)), 0.3, rng)
    X[:, 1] = np.where(np.isnan(X[:, 1]), np.nan, column)
    filled = Filling(X)(X)
    assert np.isfinite(filled).all()
    assert_allclose(filled[:, 1], 0.0 if np.isnan(column) else column)


def test_equal_columns_fill_each_other(rng):
    x = rng.standard_normal(200)
    X = np.column_stack([x, x])
    X[::2, 0] = np.nan
    assert_allclose(Filling(X)(X)[:, 0], x, atol=1e-3)
