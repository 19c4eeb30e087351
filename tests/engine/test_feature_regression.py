"""Regression on features against scikit-learn's, against leaving pairs out, and against what features stand for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

from skwakesleep._engine.amortised.feature_regression import (
    FeatureRegression,
    RandomFeatures,
    additive_features,
    feature_leave_one_out_residuals,
    tune_ridge,
)
from skwakesleep._engine.amortised.kernel_regression import (
    factorized,
    gaussian_kernel,
    leave_one_out_residuals,
    standardized,
)

BANDWIDTH, RIDGE = 1.7, 1e-3


def feature_ridge(features, targets, ridge=RIDGE):
    return Ridge(alpha=ridge, fit_intercept=False).fit(features, targets)


def test_a_regression_on_features_is_scikit_learns(x, x_new, targets):
    predicted = FeatureRegression(x, additive_features, RIDGE).predict(x_new, targets)
    mean = targets.mean(axis=0)
    expected, control = (
        mean + feature_ridge(additive_features(x), targets - mean, ridge).predict(additive_features(x_new))
        for ridge in (RIDGE, 10 * RIDGE)
    )
    assert_allclose(predicted, expected, atol=1e-10)
    assert abs(predicted - control).max() > 1e-3  # negative control


def test_additive_features_are_functions_of_columns_and_products_of_pairs():
    features = additive_features(np.array([[1.0, -2.0], [3.0, 4.0]]))
    expected = [
        [1, 1, -2, np.tanh(3), -np.tanh(6), 1, 2, 1, -4, 1, -2, 4],
        [1, 3, 4, np.tanh(9), np.tanh(12), 3, 4, 9, 16, 9, 12, 16],
    ]
    assert_allclose(features, np.divide(expected, np.sqrt(12)))


def test_additive_features_predict_what_turns_at_the_mean_of_a_column(rng):
    """Different slopes and curvatures on either side of zero, which a rotation of the columns mixes up."""
    u = rng.laplace(size=(2000, 4))
    target = np.where(u > 0, u**2 - u, 3 * u).sum(axis=1, keepdims=True)

    def unexplained(u):
        residual = target - FeatureRegression(u, additive_features, 1e-6).predict(u, target)
        return residual.var() / target.var()

    assert unexplained(u) < 1e-6
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert unexplained(u @ rotation) > 0.01


def test_the_ridge_is_added_to_every_eigenvalue_and_nothing_else(x, rng):
    """The dual form, with the ridge on the diagonal of the whole kernel, gives the same weights."""
    ridge = 0.05
    regression = FeatureRegression(x, RandomFeatures(3, BANDWIDTH, 40, rng), ridge)
    features = regression._features
    kernel = features @ features.T
    (factor, lower), used = factorized(features.T @ features, ridge)
    assert used == ridge
    gram = np.triu(factor).T @ np.triu(factor) if not lower else np.tril(factor) @ np.tril(factor).T
    shift = np.linalg.eigvalsh(gram) - np.linalg.eigvalsh(features.T @ features)
    assert_allclose(shift, ridge, rtol=1e-8)
    expected = np.linalg.solve(kernel + ridge * np.eye(len(x)), kernel)
    assert_allclose(regression._ridge_weights(x, np.eye(len(x))), expected, atol=1e-10)


def test_random_features_approximate_the_kernel(x):
    """With an error that shrinks with the root of their number."""

    def error(n_features):
        features = RandomFeatures(3, BANDWIDTH, n_features, np.random.default_rng(1))(x)
        return np.sqrt(np.square(features @ features.T - gaussian_kernel(x, x, BANDWIDTH)).mean())

    assert error(1600) < 0.03
    assert error(100) > 2 * error(1600)


# ---------------------------------------------------------------------- leaving one out


def test_leaving_one_out_of_features_equals_brute_force(x, targets):
    """And what the kernel of the features has."""
    ridges = [1e-4, 1e-2, 1.0]
    features = additive_features(x)
    closed = feature_leave_one_out_residuals(features, targets, ridges)
    dual = leave_one_out_residuals(features @ features.T, targets, ridges)
    for ridge, residuals, expected in zip(ridges, closed, dual, strict=True):
        assert_allclose(residuals, expected, atol=1e-8)
        for n in range(len(x)):
            others = np.delete(np.arange(len(x)), n)
            predicted = feature_ridge(features[others], targets[others], ridge).predict(features[n : n + 1])[0]
            assert_allclose(residuals[n], targets[n] - predicted, atol=1e-8)


def test_the_tuned_ridge_has_the_least_error(rng):
    u = rng.normal(size=(80, 6))
    targets = standardized(np.column_stack([abs(u[:, 0]), u[:, 1]]) + rng.normal(size=(80, 2)))
    ridges = [1e-6, 0.3, 1e3]
    errors = [
        np.square(residuals).mean()
        for residuals in feature_leave_one_out_residuals(additive_features(u), targets, ridges)
    ]
    assert tune_ridge(additive_features(u), targets, ridges) == (0.3, pytest.approx(errors[1]))
    assert errors[1] < min(errors[0], errors[2]) - 0.1
