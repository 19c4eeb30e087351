"""Additive features against their definition, and random features against the kernel they approximate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep._engine.amortised.feature_regression import (
    FeatureRegression,
    RandomFeatures,
    additive_features,
    tune_ridge,
)
from skwakesleep._engine.amortised.kernel_regression import gaussian_kernel
from skwakesleep._engine.amortised.ridge import feature_residuals, standardized


def test_additive_features_equal_their_definition():
    features = additive_features(np.array([[1.0, -2.0], [3.0, 4.0]]))
    expected = [
        [1, 1, -2, np.tanh(3), -np.tanh(6), 1, 2, 1, -4, 1, -2, 4],
        [1, 3, 4, np.tanh(9), np.tanh(12), 3, 4, 9, 16, 9, 12, 16],
    ]
    assert_allclose(features, np.divide(expected, np.sqrt(12)))


def test_additive_features_fit_different_slopes_below_and_above_the_mean(rng):
    """The target is an additive function of the columns; rotated columns are the negative control."""
    u = rng.laplace(size=(2000, 4))
    target = np.where(u > 0, u**2 - u, 3 * u).sum(axis=1, keepdims=True)

    def unexplained(u):
        residual = target - FeatureRegression(u, additive_features, 1e-6).predict(u, target)
        return residual.var() / target.var()

    assert unexplained(u) < 1e-6
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert unexplained(u @ rotation) > 0.01  # negative control


def test_random_features_approximate_the_kernel(x):
    """The error decreases with the square root of the number of features."""

    def error(n_features):
        features = RandomFeatures(3, 1.7, n_features, np.random.default_rng(1))(x)
        return np.sqrt(np.square(features @ features.T - gaussian_kernel(x, x, 1.7)).mean())

    assert error(1600) < 0.03
    assert error(100) > 2 * error(1600)


def test_tuned_ridge_has_the_smallest_error(rng):
    u = rng.normal(size=(80, 6))
    targets = standardized(np.column_stack([abs(u[:, 0]), u[:, 1]]) + rng.normal(size=(80, 2)))
    ridges = [1e-6, 0.3, 1e3]
    errors = [np.square(residuals).mean() for residuals in feature_residuals(additive_features(u), targets, ridges)]
    assert tune_ridge(additive_features(u), targets, ridges) == (0.3, pytest.approx(errors[1]))
    assert errors[1] < min(errors[0], errors[2]) - 0.1
