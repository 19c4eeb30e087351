"""The Gaussian kernel, and the selection of its bandwidth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep._engine.amortised.kernel_regression import (
    KernelRegression,
    gaussian_kernel,
    median_distance,
    squared_distances,
    tune,
)
from skwakesleep._engine.amortised.ridge import kernel_residuals, standardized


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
    tuning = tune(x, targets, bandwidths, ridges)
    errors = {
        (bandwidth, ridge): np.square(kernel_residuals(gaussian_kernel(x, x, bandwidth), targets, [ridge])[0]).mean()
        for bandwidth in bandwidths
        for ridge in ridges
    }
    assert (tuning.bandwidth, tuning.ridge) == min(errors, key=errors.get)
    assert tuning.error == pytest.approx(min(errors.values()))
    assert tuning.error < 0.5 < max(errors.values())


def test_error_of_noise_is_near_one(rng):
    tuning = tune(rng.normal(size=(100, 2)), standardized(rng.normal(size=(100, 3))), [0.5, 1.0, 2.0], [1e-3, 10.0])
    assert tuning.error > 0.95
    assert tuning.ridge == 10.0


def test_error_without_targets_is_zero(x):
    assert tune(x, np.zeros((len(x), 0)), [1.0], [1e-3]).error == 0


def test_median_distance(x):
    distances = [np.linalg.norm(a - b) for n, a in enumerate(x) for b in x[n + 1 :]]
    assert median_distance(x) == pytest.approx(np.median(distances))
    assert median_distance(np.ones((5, 2))) == median_distance(x[:1]) == 1.0
