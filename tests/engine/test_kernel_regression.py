"""Kernel regression against scikit-learn's, against leaving pairs out one by one, and against what it approximates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.kernel_ridge import KernelRidge

from skwakesleep._engine.amortised import kernel_regression
from skwakesleep._engine.amortised.feature_regression import FeatureRegression, RandomFeatures, additive_features
from skwakesleep._engine.amortised.kernel_regression import (
    IllConditionedError,
    KernelRegression,
    factorized,
    gaussian_kernel,
    leave_one_out_residuals,
    median_distance,
    squared_distances,
    standardized,
    tune,
)

BANDWIDTH, RIDGE = 1.7, 1e-3


def sklearn_ridge(x, targets, ridge=RIDGE):
    return KernelRidge(kernel="rbf", gamma=0.5 / BANDWIDTH**2, alpha=ridge).fit(x, targets)


# ---------------------------------------------------------------------- regression


def test_distances_and_kernel_are_those_of_their_definition(x, x_new):
    expected = ((x[:, np.newaxis] - x_new) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(x, x_new), expected, rtol=1e-12)
    assert_allclose(gaussian_kernel(x, x_new, 0.7), np.exp(-expected / (2 * 0.7**2)), rtol=1e-10)
    assert (squared_distances(x, x) >= 0).all()


def test_the_ridge_weights_are_scikit_learns(x, x_new):
    """Predicting the unit vectors, scikit-learn gives the weights themselves."""
    regression = KernelRegression(x, BANDWIDTH, RIDGE)
    expected = sklearn_ridge(x, np.eye(len(x))).predict(x_new).T
    weights = regression._ridge_weights(x_new, np.eye(len(x_new)))
    assert_allclose(weights, expected, atol=1e-10)
    assert abs(weights - sklearn_ridge(x, np.eye(len(x)), 2 * RIDGE).predict(x_new).T).max() > 1e-3  # negative control


def test_targets_are_predicted_as_deviations_from_their_mean(x, x_new, targets):
    predicted = KernelRegression(x, BANDWIDTH, RIDGE).predict(x_new, targets)
    mean = targets.mean(axis=0)
    assert_allclose(predicted, mean + sklearn_ridge(x, targets - mean).predict(x_new), atol=1e-10)
    assert abs(predicted - sklearn_ridge(x, targets).predict(x_new)).max() > 1e-2  # negative control


def regressions(x):
    random = RandomFeatures(3, BANDWIDTH, 200, np.random.default_rng(0))
    features = [FeatureRegression(x, features, RIDGE) for features in (random, additive_features)]
    return [KernelRegression(x, BANDWIDTH, RIDGE), *features]


def test_mean_weights_predict_the_weighted_sum_of_predictions(x, x_new, targets, rng):
    values = rng.normal(size=(len(x_new), 4))
    for regression in regressions(x):
        weights = regression.mean_weights(x_new, values)
        assert_allclose(weights.T @ targets, values.T @ regression.predict(x_new, targets), rtol=1e-8)


def test_weights_sum_to_one_wherever_the_inputs_are(x):
    far = np.full((1, 3), 100.0)
    for regression in regressions(x):
        assert_allclose(regression.mean_weights(far, np.ones((1, 1))).sum(), 1)
    assert_allclose(KernelRegression(x, BANDWIDTH, RIDGE).mean_weights(far, np.ones((1, 1))), 1 / len(x))


# ---------------------------------------------------------------------- leaving one out


def test_leave_one_out_in_closed_form_equals_brute_force(x, targets):
    ridges = [1e-4, 1e-2, 1.0]
    closed = leave_one_out_residuals(gaussian_kernel(x, x, BANDWIDTH), targets, ridges)
    for ridge, residuals in zip(ridges, closed, strict=True):
        for n in range(len(x)):
            others = np.delete(np.arange(len(x)), n)
            predicted = sklearn_ridge(x[others], targets[others], ridge).predict(x[n : n + 1])[0]
            assert_allclose(residuals[n], targets[n] - predicted, atol=1e-8)


def test_the_tuned_pair_has_the_least_error(x, targets):
    targets = standardized(targets)
    bandwidths, ridges = [0.1, 1.0, 10.0], [1e-6, 1e-2, 1.0]
    tuning = tune(x, targets, bandwidths, ridges)
    errors = {
        (bandwidth, ridge): np.square(leave_one_out_residuals(gaussian_kernel(x, x, bandwidth), targets, [ridge])[0])
        for bandwidth in bandwidths
        for ridge in ridges
    }
    means = {choice: square.mean() for choice, square in errors.items()}
    assert (tuning.bandwidth, tuning.ridge) == min(means, key=means.get)
    assert tuning.error == pytest.approx(min(means.values()))
    assert tuning.error < 0.5 < max(means.values())


def test_noise_cannot_be_predicted(rng):
    tuning = tune(rng.normal(size=(100, 2)), standardized(rng.normal(size=(100, 3))), [0.5, 1.0, 2.0], [1e-3, 10.0])
    assert tuning.error > 0.95
    assert tuning.ridge == 10.0


def test_constant_targets_do_not_count(x, targets):
    varying = standardized(targets)
    assert_allclose(standardized(np.column_stack([targets, np.full(len(x), 1e6)])), varying)
    assert_allclose(np.square(varying).mean(axis=0), 1)
    assert standardized(np.ones((5, 2))).shape == (5, 0)
    assert tune(x, np.zeros((len(x), 0)), [1.0], [1e-3]).error == 0


def test_the_median_distance(x):
    distances = [np.linalg.norm(a - b) for n, a in enumerate(x) for b in x[n + 1 :]]
    assert median_distance(x) == pytest.approx(np.median(distances))
    assert median_distance(np.ones((5, 2))) == median_distance(x[:1]) == 1.0


# ---------------------------------------------------------------------- numerical trouble


def test_the_ridge_is_raised_where_that_helps(x, x_new, targets):
    """Equal inputs make the kernel singular; a ridge below the resolution of its entries does not change that."""
    doubled = np.repeat(x, 2, axis=0)
    regression = KernelRegression(doubled, BANDWIDTH, 1e-19)
    assert 1e-19 < regression.ridge <= 1e-19 * 10**kernel_regression.N_JITTERS
    assert np.isfinite(regression.predict(x_new, np.repeat(targets, 2, axis=0))).all()


def test_a_kernel_beyond_help_is_reported():
    with pytest.raises(IllConditionedError, match=r"ridge=1e-30.*Raise ridge"):
        factorized(np.diag([1.0, -1.0]), 1e-30)
