"""Moments and units of columns: constant ones, extreme ones, and streams."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skwakesleep._engine.units import Moments, Units, gradient_in_units


@pytest.mark.parametrize("n", [2, 100, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns_are_recognized(n, dtype, rng):
    values = rng.integers(-1000, 1000, size=200) / 100
    moments = Moments.of(np.tile(values.astype(dtype), (n, 1)))
    assert_array_equal(moments.std, 0)
    assert_array_equal(moments.mean, values.astype(dtype))


def test_a_column_that_varies_by_an_ulp_is_constant_and_one_that_varies_by_more_is_not():
    column = np.full(10, 0.1)
    column[3] = np.nextafter(0.1, 1)
    wider = column + np.where(np.arange(10) == 5, 8 * np.spacing(0.1), 0)
    assert_array_equal(Moments.of(np.column_stack([column, wider])).std > 0, [False, True])


@pytest.mark.parametrize(("location", "scale"), [(0, 1e160), (0, 1e-160), (1.7e9, 500), (1.7e9, 1e-3), (-1e15, 3.0)])
def test_moments_neither_overflow_nor_cancel(location, scale, rng):
    standard = rng.normal(size=(500, 1))
    X = location + scale * standard
    moments = Moments.of(X)
    assert_allclose(moments.mean, location + scale * standard.mean(), rtol=1e-12, atol=1e-6 * scale)
    assert_allclose(moments.std, scale * standard.std(), rtol=0.2 * max(1e-10, abs(location) * 1e-16 / scale) + 1e-9)


def test_joined_moments_are_those_of_all_rows(rng):
    X = np.column_stack(
        [rng.normal(5, 2, 90), np.full(90, 0.1), 1e200 * rng.normal(size=90), np.repeat([0.0, 1.0], 45)]
    )
    joined = Moments.of(X[:1]).joined(Moments.of(X[1:45])).joined(Moments.of(X[45:]))
    whole = Moments.of(X)
    assert joined.n_rows == 90
    assert_allclose(joined.mean, whole.mean, rtol=1e-10)
    assert_allclose(joined.std, whole.std, rtol=1e-10)
    assert joined.std[1] == 0 < joined.std[3]


def test_rows_come_back_from_standardized_units(rng):
    units = Units(np.array([1e9, -3.0, 0.1]), np.array([1e-2, 5.0, 0.0]))
    X = units.location + rng.normal(size=(20, 3))
    assert_allclose(units.restored(units.standardized(X)), X, rtol=1e-12)
    assert units.log_volume == pytest.approx(np.log(1e-2) + np.log(5))
    assert np.isfinite(np.square(units.standardized(np.full((1, 3), 1e150)))).all()


def test_units_are_renewed_after_a_change_that_matters():
    units = Units(np.zeros(2), np.array([2.0, 0.0]))
    assert not units.differ(Units(np.array([0.19, 0.0]), np.array([2.1, 0.0])))
    assert units.differ(Units(np.array([0.21, 0.0]), np.array([2.0, 0.0])))
    assert units.differ(Units(np.zeros(2), np.array([2.3, 0.0])))
    assert units.differ(Units(np.zeros(2), np.array([2.0, 1e-9])))  # the first spread of a column


def test_rows_seen_from_other_units_are_the_same_rows(rng):
    first, second = (
        Units(np.array([1.0, 7.0]), np.array([2.0, 0.0])),
        Units(np.array([-1.0, 6.0]), np.array([4.0, 30.0])),
    )
    location, scale = first.seen_from(second)
    x = rng.normal(size=(5, 2))
    assert_allclose(location + scale * x, second.standardized(first.restored(x)))
    assert first.have_grown(second).tolist() == [False, True]


def test_a_gradient_is_carried_over_by_the_chain_rule(rng):
    theta, gradient, scale = rng.normal(size=4), rng.normal(size=4), np.array([1e3, 1e-3, 1e12, 1e-12])
    assert_allclose(gradient_in_units(gradient, theta * scale, lambda t: t / scale), gradient / scale, rtol=1e-8)
