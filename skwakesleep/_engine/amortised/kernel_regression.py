"""Ridge regression with the Gaussian kernel, and the choice of its bandwidth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.ridge import RidgeRegression, best_ridge, kernel_residuals


def squared_distances(a: NDArray, b: NDArray) -> NDArray:
    """Return the squared Euclidean distances ``(N, M)`` between the rows of ``a (N, D)`` and ``b (M, D)``."""
    distances = a @ (-2 * b.T)
    distances += np.vecdot(a, a)[:, np.newaxis]
    distances += np.vecdot(b, b)
    return np.maximum(distances, 0, out=distances)  # rounding may make the distance of near neighbors negative


def gaussian_kernel(a: NDArray, b: NDArray, bandwidth: float) -> NDArray:
    """Return ``exp(-|a_n - b_m|^2 / (2 bandwidth^2))`` of shape ``(N, M)``."""
    return _gaussian(squared_distances(a, b), bandwidth)


def _gaussian(distances: NDArray, bandwidth: float) -> NDArray:
    """Return the kernel, which overwrites the squared distances."""
    with np.errstate(over="ignore"):  # far beyond the bandwidth the kernel is zero
        distances *= -min(0.5 / bandwidth / bandwidth, np.finfo(np.float64).max)  # 0 * inf would be NaN
    return np.exp(distances, out=distances)


def median_distance(x: NDArray) -> float:
    """Return the median distance between two different rows of ``x (N, D)``; one if it is zero or undefined."""
    if len(x) < 2:
        return 1.0
    upper = np.triu_indices(len(x), k=1)
    median = float(np.sqrt(np.median(squared_distances(x, x)[upper])))
    return median if median > 0 else 1.0


class KernelRegression(RidgeRegression):
    """Ridge regression with the Gaussian kernel between all pairs of inputs.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Inputs.
    bandwidth : float
        Standard deviation of the kernel, in the units of the inputs.
    ridge : float
        Added to the diagonal of the kernel, whose entries are one.
    """

    def __init__(self, x: NDArray, bandwidth: float, ridge: float) -> None:
        super().__init__(gaussian_kernel(x, x, bandwidth), ridge)
        self._x = x
        self._bandwidth = bandwidth

    def _evaluated(self, x_new: NDArray) -> NDArray:
        return gaussian_kernel(self._x, x_new, self._bandwidth).T


class Tuning(NamedTuple):
    """A choice of bandwidth and ridge, and its leave-one-out error relative to predicting the mean."""

    bandwidth: float
    ridge: float
    error: float


def tune(x: NDArray, targets: NDArray, bandwidths: Sequence[float], ridges: Sequence[float]) -> Tuning:
    """Return the bandwidth and the ridge with the smallest leave-one-out error.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is predicted, with mean zero; targets count in proportion to their variance.
    bandwidths, ridges : sequence of float
        The values to choose from.
    """
    distances = squared_distances(x, x)
    choices = []
    for bandwidth in bandwidths:
        kernel = _gaussian(distances.copy(), bandwidth)
        ridge, error = best_ridge(kernel_residuals(kernel, targets, ridges), targets, ridges)
        choices.append(Tuning(bandwidth, ridge, error))
    return min(choices, key=lambda choice: choice.error)
