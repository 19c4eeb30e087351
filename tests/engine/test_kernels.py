"""The Gaussian kernel and the features against their definitions, and the choice of bandwidth and ridge."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep._engine.amortised.kernels import (
    FeatureRegression,
    KernelRegression,
    RandomFeatures,
    additive_features,
    gaussian_kernel,
    median_distance,
    squared_distances,
    tune_kernel,
    tune_ridge,
)
from skwakesleep._engine.amortised.ridge import feature_residuals, kernel_residuals, standardized


def test_distances_and_kernel_equal_their_definitions(x, x_new):
    expected = ((x[:, np.newaxis] - x_new) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(x, x_new), expected, rtol=1e-12)
    assert_allclose(gaussian_kernel(x, x_new, 0.7), np.exp(-expected / (2 * 0.7**2)), rtol=1e-10)
    assert (squared_distances(x, x) >= 0).all()


def test_weights_are_equal_far_from_all_inputs(x):
    far = np.full((1, 3), 100.0)
    assert_allclose(KernelRegression(x, 1.7, 1e-3).mean_weights(far, np.ones((1, 1))), 1 / len(x))


def test_tuned_bandwidth_and_ridge_have_the_smallest_error(x, targets):
    targets = standardized(targets)
    bandwidths, ridges = [0.1, 1.0, 10.0], [1e-6, 1e-2, 1.0]
    bandwidth, ridge, error = tune_kernel(x, targets, bandwidths, ridges)
    errors = {
        (b, r): np.square(kernel_residuals(gaussian_kernel(x, x, b), targets, [r])[0]).mean()
        for b in bandwidths
        for r in ridges
    }
    assert (bandwidth, ridge) == min(errors, key=errors.get)
    assert error == pytest.approx(min(errors.values()))
    assert error < 0.5 < max(errors.values())


def test_error_of_noise_is_near_one(rng):
    x, targets = rng.normal(size=(100, 2)), standardized(rng.normal(size=(100, 3)))
    _, ridge, error = tune_kernel(x, targets, [0.5, 1.0, 2.0], [1e-3, 10.0])
    assert error > 0.95
    assert ridge == 10.0


def test_error_without_targets_is_zero(x):
    assert tune_kernel(x, np.zeros((len(x), 0)), [1.0], [1e-3])[-1] == 0


def test_median_distance(x):
    distances = [np.linalg.norm(a - b) for n, a in enumerate(x) for b in x[n + 1 :]]
    assert median_distance(x) == pytest.approx(np.median(distances))
    assert median_distance(np.ones((5, 2))) == median_distance(x[:1]) == 1.0


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
