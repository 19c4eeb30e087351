"""Units of columns: standardization, its inverse, and the criterion for new units."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.units import Units


def test_restored_inverts_standardized(rng):
    units = Units(np.array([1e9, -3.0, 0.1]), np.array([1e-2, 5.0, 0.0]))
    X = units.location + rng.normal(size=(20, 3))
    assert_allclose(units.restored(units.standardized(X)), X, rtol=1e-12)
    assert units.log_volume == pytest.approx(np.log(1e-2) + np.log(5))
    assert np.isfinite(np.square(units.standardized(np.full((1, 3), 1e150)))).all()


def test_units_differ_after_a_large_change():
    units = Units(np.zeros(2), np.array([2.0, 0.0]))
    assert not units.differ(Units(np.array([0.19, 0.0]), np.array([2.1, 0.0])))
    assert units.differ(Units(np.array([0.21, 0.0]), np.array([2.0, 0.0])))
    assert units.differ(Units(np.zeros(2), np.array([2.3, 0.0])))
    assert units.differ(Units(np.zeros(2), np.array([2.0, 1e-9])))  # a column that was constant


def test_seen_from_converts_between_units(rng):
    first, second = (
        Units(np.array([1.0, 7.0]), np.array([2.0, 0.0])),
        Units(np.array([-1.0, 6.0]), np.array([4.0, 30.0])),
    )
    location, scale = first.seen_from(second)
    x = rng.normal(size=(5, 2))
    assert_allclose(location + scale * x, second.standardized(first.restored(x)))
    assert first.have_grown(second).tolist() == [False, True]


def test_gradient_in_units_follows_the_chain_rule(rng):
    theta, gradient, scale = rng.normal(size=4), rng.normal(size=4), np.array([1e3, 1e-3, 1e12, 1e-12])
    model = SimpleNamespace(column_units=None, params_in_units=lambda theta, location, factor: theta * factor)
    problem = Problem(model, np.ones((2, 4)), Units(np.zeros(4), scale), Settings(gradient="exact"))
    assert_allclose(problem.gradient_in_units(gradient, theta * scale), gradient / scale, rtol=1e-8)
