"""The Gaussian kernel and the features against their definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep._engine.amortised.kernels import (
    RandomFeatures,
    additive_features,
    gaussian_kernel,
    median_distance,
    squared_distances,
)


def test_distances_and_kernel_equal_their_definitions(x, x_new):
    expected = ((x[:, np.newaxis] - x_new) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(x, x_new), expected, rtol=1e-12)
    assert_allclose(gaussian_kernel(x, x_new, 0.7), np.exp(-expected / (2 * 0.7**2)), rtol=1e-10)
    assert (squared_distances(x, x) >= 0).all()


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


def test_random_features_approximate_the_kernel(x):
    """The error decreases with the square root of the number of features."""

    def error(n_features):
        features = RandomFeatures(3, 1.7, n_features, np.random.default_rng(1))(x)
        return np.sqrt(np.square(features @ features.T - gaussian_kernel(x, x, 1.7)).mean())

    assert error(1600) < 0.03
    assert error(100) > 2 * error(1600)
