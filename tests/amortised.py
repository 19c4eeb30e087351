"""Helpers for the tests of AmortisedWakeSleep: small estimators, data sets and assertions."""

import pickle
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import LatentFactors

FITS = ["fit", "partial_fit"]


def quick(model=None, **parameters):
    """Return an estimator with few simulations, few epochs and one start."""
    settings = {"n_sleep": 100, "max_iter": 3, "n_restarts": 1, "random_state": 0}
    return AmortisedWakeSleep(model, **(settings | parameters))


def factor_data():
    """Return 50 rows of four columns generated from two factors."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(50, 4))


def ring_data(n, seed=0, noise=0.2):
    """Return n rows of four columns on a noisy ellipse, and the angle of each row."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    loadings = np.array([[1, 0.2], [-0.5, 1], [0.3, 0.8], [1, -0.6]])
    return np.column_stack([np.cos(angle), np.sin(angle)]) @ loadings.T + noise * rng.normal(size=(n, 4)), angle


def assert_same(first, second):
    """Check that two fitted estimators have equal fitted attributes."""
    assert_array_equal(first.theta_, second.theta_)
    for name in "loo_errors_", "coverages_", "effective_sample_sizes_", "bandwidth_", "ridge_", "n_iter_", "gradient_":
        assert getattr(first, name) == getattr(second, name)


@contextmanager
def rejected(estimator, error, message):
    """Check that the block raises a matching error and does not change the estimator."""
    before = pickle.dumps(estimator)
    with pytest.raises(error, match=message):
        yield
    assert pickle.dumps(estimator) == before


class Factors(BaseEstimator):
    """Factor analysis as a scikit-learn estimator: its parameters can be set and searched."""

    def __init__(self, n_features=4, n_components=1, noise_floor=1e-3):
        self.n_features = n_features
        self.n_components = n_components
        self.noise_floor = noise_floor

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(LatentFactors(self.n_features, self.n_components, noise_floor=self.noise_floor), name)
