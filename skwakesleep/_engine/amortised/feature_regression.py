"""Ridge regression on features: random ones, which approximate the Gaussian kernel, or additive ones."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.ridge import RidgeRegression, best_ridge, feature_residuals

# Bound on the frequencies of random features, which overflow with extremely small bandwidths.
MAX_FREQUENCY = 1e100

FeatureMap = Callable[[NDArray], NDArray]


class FeatureRegression(RidgeRegression):
    """Ridge regression with the kernel that is the inner product of features.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Inputs.
    features : callable
        Maps inputs to features, ``(n, D)`` to ``(n, R)``, with squared norms of about one.
    ridge : float
        Added to the diagonal of the kernel.
    """

    def __init__(self, x: NDArray, features: FeatureMap, ridge: float) -> None:
        self._map = features
        self._features = features(x)
        super().__init__(self._features.T @ self._features, ridge)

    def _evaluated(self, x_new: NDArray) -> NDArray:
        return self._map(x_new)

    def _expanded(self, coefficients: NDArray) -> NDArray:
        return self._features @ coefficients

    def _collected(self, targets: NDArray) -> NDArray:
        return self._features.T @ targets


class RandomFeatures:
    """Random features whose inner products approximate the Gaussian kernel (Rahimi & Recht 2007).

    Parameters
    ----------
    n_columns : int
        Number of columns of the inputs.
    bandwidth : float
        Standard deviation of the kernel.
    n_features : int
        Number of features, ``R``.
    rng : numpy.random.Generator
        Draws their frequencies and phases.
    """

    def __init__(self, n_columns: int, bandwidth: float, n_features: int, rng: np.random.Generator) -> None:
        frequencies = rng.standard_normal((n_columns, n_features)) / bandwidth
        self._frequencies = np.clip(frequencies, -MAX_FREQUENCY, MAX_FREQUENCY)
        self._phases = rng.uniform(0, 2 * np.pi, n_features)

    def __call__(self, x: NDArray) -> NDArray:
        features = x @ self._frequencies
        features += self._phases
        np.cos(features, out=features)
        features *= np.sqrt(2 / len(self._phases))
        return features


def additive_features(u: NDArray) -> NDArray:
    """Return functions of single columns of ``u (n, H)``, and products of pairs, ``(n, R)``.

    The functions of a column span parabolas with different coefficients on either side of zero, of which the posterior
    mean and variance of a sparse latent consist. The smooth sign is among them because the posterior mean of such a
    latent tends to its linear prediction minus a constant, and data may be farther from zero than dreams.
    """
    magnitude = np.abs(u)
    first, second = np.triu_indices(u.shape[1])
    functions = [u, np.tanh(3 * u), magnitude, u * magnitude]
    features = np.column_stack([np.ones(len(u)), *functions, u[:, first] * u[:, second]])
    features /= np.sqrt(features.shape[1])
    return features


def tune_ridge(features: NDArray, targets: NDArray, ridges: Sequence[float]) -> tuple[float, float]:
    """Return the ridge with the smallest leave-one-out error of a `FeatureRegression`, and that relative error."""
    return best_ridge(feature_residuals(features, targets, ridges), targets, ridges)
