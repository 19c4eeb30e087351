"""Ridge regression on features: a kernel that is an inner product, in time linear in the pairs.

With features ``F (N, R)`` the kernel is ``F F'``, and ``(F F' + ridge * I)^-1 F = F (F' F + ridge * I)^-1``. Features
either approximate the Gaussian kernel or are chosen for what they mean.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skwakesleep._engine.amortised.kernel_regression import Regression, best_ridge, factorized

# Where a bandwidth is so small that frequencies overflow, they may as well be lower.
MAX_FREQUENCY = 1e100

FeatureMap = Callable[[NDArray], NDArray]


class FeatureRegression(Regression):
    """Regression with the kernel that is the inner product of given features.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Inputs.
    features : callable
        Maps inputs to features, ``(n, D)`` to ``(n, R)``, of squared norm one or so.
    ridge : float
        As for `KernelRegression`.

    Attributes
    ----------
    ridge : float
        What was added to the diagonal.
    """

    def __init__(self, x: NDArray, features: FeatureMap, ridge: float) -> None:
        self._map = features
        self._features = features(x)
        self._factor, self.ridge = factorized(self._features.T @ self._features, ridge)

    def _ridge_weights(self, x_new: NDArray, values: NDArray) -> NDArray:
        return self._features @ linalg.cho_solve(self._factor, self._map(x_new).T @ values, check_finite=False)

    def _ridge_predict(self, x_new: NDArray, targets: NDArray) -> NDArray:
        return self._map(x_new) @ linalg.cho_solve(self._factor, self._features.T @ targets, check_finite=False)


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

    The functions of a column span parabolas that differ on either side of zero: what a posterior mean and variance are
    made of, where its latent is sparse. A smooth sign is among them because the mean of such a latent is, far out, its
    prediction less a constant, and data may lie further out than dreams.
    """
    magnitude = np.abs(u)
    first, second = np.triu_indices(u.shape[1])
    functions = [u, np.tanh(3 * u), magnitude, u * magnitude]
    features = np.column_stack([np.ones(len(u)), *functions, u[:, first] * u[:, second]])
    features /= np.sqrt(features.shape[1])
    return features


def feature_leave_one_out_residuals(features: NDArray, targets: NDArray, ridges: Sequence[float]) -> list[NDArray]:
    """Return what `leave_one_out_residuals` does for the kernel ``features @ features.T``, in time linear in the rows.

    With ``H = F (F' F + ridge * I)^-1 F'``, leaving out a row has the residual ``(y - H y)_i / (1 - H_ii)``.
    """
    eigenvalues, vectors = linalg.eigh(features.T @ features, check_finite=False)
    np.maximum(eigenvalues, 0, out=eigenvalues)
    rotated = features @ vectors
    loadings = rotated.T @ targets
    squares = np.square(rotated)
    residuals = []
    for ridge in ridges:
        shrinkage = 1 / (eigenvalues + ridge)
        residual = targets - rotated @ (shrinkage[:, np.newaxis] * loadings)
        residuals.append(residual / (1 - squares @ shrinkage)[:, np.newaxis])
    return residuals


def tune_ridge(features: NDArray, targets: NDArray, ridges: Sequence[float]) -> tuple[float, float]:
    """Return the ridge with the least leave-one-out error in a `FeatureRegression`, and that error, see `tune`."""
    return best_ridge(feature_leave_one_out_residuals(features, targets, ridges), targets, ridges)
