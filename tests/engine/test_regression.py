"""Ridge regression: comparison with KernelRidge and brute-force leave-one-out, tuning, and ill-conditioned matrices."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from skwakesleep._engine.amortised.kernels import RandomFeatures, additive_features, gaussian_kernel
from skwakesleep._engine.amortised.regression import (
    N_RAISES,
    RAISE_FACTOR,
    best_ridge,
    factorized,
    feature_regression,
    feature_residuals,
    kernel_regression,
    kernel_residuals,
    standardized,
    tune_kernel,
    tune_ridge,
)

BANDWIDTH, RIDGE = 1.7, 1e-3
RANDOM = RandomFeatures(3, BANDWIDTH, 40, np.random.default_rng(0))


class Case(NamedTuple):
    """A regression, and the kernel between the rows of two arrays."""

    fit: object
    kernel: object


CASES = {
    "gaussian": Case(lambda x, ridge: kernel_regression(x, BANDWIDTH, ridge), RBF(BANDWIDTH)),
    "random": Case(lambda x, ridge: feature_regression(x, RANDOM, ridge), lambda a, b: RANDOM(a) @ RANDOM(b).T),
    "additive": Case(
        lambda x, ridge: feature_regression(x, additive_features, ridge),
        lambda a, b: additive_features(a) @ additive_features(b).T,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def sklearn_prediction(case, x, targets, x_new, ridge=RIDGE):
    regression = KernelRidge(kernel="precomputed", alpha=ridge).fit(case.kernel(x, x), targets)
    return regression.predict(case.kernel(x_new, x))


# ---------------------------------------------------------------------- regression


def test_predict_equals_kernel_ridge_on_centered_targets(case, x, x_new, targets):
    predicted = case.fit(x, RIDGE).predict(x_new, targets)
    mean = targets.mean(axis=0)
    assert_allclose(predicted, mean + sklearn_prediction(case, x, targets - mean, x_new), atol=1e-8)
    # negative control
    assert abs(predicted - mean - sklearn_prediction(case, x, targets - mean, x_new, 10 * RIDGE)).max() > 1e-3


def test_mean_weights_equal_kernel_ridge_up_to_a_constant(case, x, x_new):
    """The predictions of KernelRidge for unit-vector targets are the weights."""
    weights = case.fit(x, RIDGE).mean_weights(x_new, np.eye(len(x_new)))
    expected = sklearn_prediction(case, x, np.eye(len(x)), x_new).T
    assert_allclose(weights - weights.mean(axis=0), expected - expected.mean(axis=0), atol=1e-8)
    other = sklearn_prediction(case, x, np.eye(len(x)), x_new, 2 * RIDGE).T
    assert abs(weights - weights.mean(axis=0) - other + other.mean(axis=0)).max() > 1e-4  # negative control


def test_mean_weights_give_the_weighted_sum_of_predictions(case, x, x_new, targets, rng):
    values = rng.normal(size=(len(x_new), 4))
    regression = case.fit(x, RIDGE)
    weights = regression.mean_weights(x_new, values)
    assert_allclose(weights.T @ targets, values.T @ regression.predict(x_new, targets), rtol=1e-7)


def test_weights_sum_to_one_far_from_all_inputs(case, x):
    far = np.full((1, 3), 100.0)
    assert_allclose(case.fit(x, RIDGE).mean_weights(far, np.ones((1, 1))).sum(), 1)


def test_weights_are_equal_far_from_all_inputs(x):
    far = np.full((1, 3), 100.0)
    assert_allclose(kernel_regression(x, 1.7, 1e-3).mean_weights(far, np.ones((1, 1))), 1 / len(x))


def test_additive_features_fit_different_slopes_below_and_above_the_mean(rng):
    """The target is an additive function of the columns; rotated columns are the negative control."""
    u = rng.laplace(size=(2000, 4))
    target = np.where(u > 0, u**2 - u, 3 * u).sum(axis=1, keepdims=True)

    def unexplained(u):
        residual = target - feature_regression(u, additive_features, 1e-6).predict(u, target)
        return residual.var() / target.var()

    assert unexplained(u) < 1e-6
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert unexplained(u @ rotation) > 0.01  # negative control


# ---------------------------------------------------------------------- leave-one-out


@pytest.mark.parametrize("features", [None, RANDOM, additive_features], ids=["gaussian", "random", "additive"])
def test_closed_form_leave_one_out_equals_brute_force(features, x, targets):
    ridges = [1e-4, 1e-2, 1.0]
    if features is None:
        kernel = gaussian_kernel(x, x, BANDWIDTH)
        closed_form = kernel_residuals(kernel.copy(), targets, ridges)
    else:
        kernel = features(x) @ features(x).T
        closed_form = feature_residuals(features(x), targets, ridges)
    for ridge, residuals in zip(ridges, closed_form, strict=True):
        for n in range(len(x)):
            others = np.delete(np.arange(len(x)), n)
            regression = KernelRidge(kernel="precomputed", alpha=ridge).fit(
                kernel[np.ix_(others, others)], targets[others]
            )
            assert_allclose(residuals[n], targets[n] - regression.predict(kernel[[n]][:, others])[0], atol=1e-7)


def test_best_ridge_has_the_smallest_mean_square(rng):
    targets = rng.normal(size=(50, 2))
    assert best_ridge([2 * targets, 0.1 * targets, targets], targets, [1.0, 2.0, 3.0]) == (2.0, pytest.approx(0.01))
    assert best_ridge([np.zeros((5, 0))], np.zeros((5, 0)), [1.0]) == (1.0, 0.0)


def test_constant_targets_are_removed(x, targets):
    varying = standardized(targets)
    assert_allclose(standardized(np.column_stack([targets, np.full(len(x), 1e6)])), varying)
    assert_allclose(np.square(varying).mean(axis=0), 1)
    assert standardized(np.ones((5, 2))).shape == (5, 0)


# ---------------------------------------------------------------------- choice of bandwidth and ridge


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


def test_tuned_ridge_has_the_smallest_error(rng):
    u = rng.normal(size=(80, 6))
    targets = standardized(np.column_stack([abs(u[:, 0]), u[:, 1]]) + rng.normal(size=(80, 2)))
    ridges = [1e-6, 0.3, 1e3]
    errors = [np.square(residuals).mean() for residuals in feature_residuals(additive_features(u), targets, ridges)]
    assert tune_ridge(additive_features(u), targets, ridges) == (0.3, pytest.approx(errors[1]))
    assert errors[1] < min(errors[0], errors[2]) - 0.1


# ---------------------------------------------------------------------- ill-conditioned matrices


def test_ridge_is_added_to_the_diagonal(x):
    gram, ridge = RANDOM(x).T @ RANDOM(x), 0.05
    (factor, lower), used = factorized(gram.copy(), ridge)
    assert used == ridge
    factor = np.tril(factor) if lower else np.triu(factor).T
    assert_allclose(factor @ factor.T, gram + ridge * np.eye(len(gram)), atol=1e-12)


def test_ridge_is_raised_if_the_kernel_is_singular(x, x_new, targets):
    """Duplicated inputs make the kernel singular, and 1 + 1e-19 rounds to 1."""
    doubled = np.repeat(x, 2, axis=0)
    regression = kernel_regression(doubled, BANDWIDTH, 1e-19)
    assert 1e-19 < regression.ridge <= 1e-19 * RAISE_FACTOR**N_RAISES
    assert np.isfinite(regression.predict(x_new, np.repeat(targets, 2, axis=0))).all()


def test_indefinite_matrix_raises():
    with pytest.raises(ValueError, match=r"ridge=1e-30.*Raise ridge"):
        factorized(np.diag([1.0, -1.0]), 1e-30)
