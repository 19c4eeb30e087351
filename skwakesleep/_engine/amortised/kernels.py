"""The Gaussian kernel, and features whose inner products are kernels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Bound on the frequencies of random features, which overflow with extremely small bandwidths.
MAX_FREQUENCY = 1e100

FeatureMap = Callable[[NDArray], NDArray]


def squared_distances(a: NDArray, b: NDArray) -> NDArray:
    """Return the squared Euclidean distances ``(N, M)`` between the rows of ``a (N, D)`` and ``b (M, D)``."""
    distances = a @ (-2 * b.T)
    distances += np.vecdot(a, a)[:, np.newaxis]
    distances += np.vecdot(b, b)
    return np.maximum(distances, 0, out=distances)  # rounding may make the distance of near neighbors negative


def gaussian_kernel(a: NDArray, b: NDArray, bandwidth: float) -> NDArray:
    """Return ``exp(-|a_n - b_m|^2 / (2 bandwidth^2))`` of shape ``(N, M)``."""
    return gaussian(squared_distances(a, b), bandwidth)


def gaussian(distances: NDArray, bandwidth: float) -> NDArray:
    """Return the kernel, which overwrites the squared distances."""
    with np.errstate(over="ignore"):  # far beyond the bandwidth the kernel is zero
        distances *= -min(0.5 / bandwidth / bandwidth, np.finfo(np.float64).max)  # 0 * inf would be NaN
    return np.exp(distances, out=distances)


def median_distance(x: NDArray) -> float:
    """Return the median distance between two different rows of ``x (N, D)``; one if it is zero or undefined."""
    if len(x) < 2:
        return 1.0
    # Without the zero distances of rows from themselves.
    upper = np.triu_indices(len(x), k=1)
    median = float(np.sqrt(np.median(squared_distances(x, x)[upper])))
    return median if median > 0 else 1.0


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
        # With w ~ N(0, I / bandwidth^2) and b ~ U(0, 2 pi), E[2 cos(w.x + b) cos(w.y + b)] is the kernel of x and y.
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
