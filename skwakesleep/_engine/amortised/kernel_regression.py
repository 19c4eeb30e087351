"""Kernel ridge regression of conditional expectations, and the choice of its bandwidth and ridge.

With the kernel ``K (N, N)`` between the inputs of a sample and ``G (N, M)`` between them and new inputs, any target
``y (N,)`` is predicted by ``A' y`` with ``A = (K + ridge * I)^-1 G (N, M)``: the weights do not depend on the target.
Here targets are predicted as deviations from their mean, so that weights sum to one for every new input: where there is
nothing to learn, the prediction is the mean of the target, and no constant is ever shrunk.

The error of leaving out each pair in turn has a closed form: ``alpha_i / [(K + ridge * I)^-1]_ii`` with
``alpha = (K + ridge * I)^-1 y``. One eigendecomposition of ``K`` serves every ridge and every target.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

# By how much the ridge is raised when the kernel is not positive definite to working precision, and how often.
JITTER_FACTOR = 10.0
N_JITTERS = 5
# Below so much of the largest, the spread of a target is rounding error.
NEGLIGIBLE = 1e-10


class IllConditionedError(ValueError):
    """The kernel matrix cannot be factorized, however much is added to its diagonal."""

    def __init__(self, ridge: float) -> None:
        super().__init__(
            f"The kernel regression is ill-conditioned: it failed with ridge={ridge:.3g}, and with up to "
            f"{JITTER_FACTOR**N_JITTERS:.0e} times as much. Raise ridge."
        )


def squared_distances(a: NDArray, b: NDArray) -> NDArray:
    """Return the squared Euclidean distances ``(N, M)`` between the rows of ``a (N, D)`` and ``b (M, D)``."""
    distances = a @ (-2 * b.T)
    distances += np.vecdot(a, a)[:, np.newaxis]
    distances += np.vecdot(b, b)
    return np.maximum(distances, 0, out=distances)  # rounding may take the distance of near neighbors below zero


def gaussian_kernel(a: NDArray, b: NDArray, bandwidth: float) -> NDArray:
    """Return ``exp(-|a_n - b_m|^2 / (2 bandwidth^2))`` of shape ``(N, M)``."""
    return _gaussian(squared_distances(a, b), bandwidth)


def _gaussian(distances: NDArray, bandwidth: float) -> NDArray:
    """Return the kernel, written over the squared distances."""
    with np.errstate(over="ignore"):  # beyond any bandwidth the kernel is zero
        distances *= -min(0.5 / bandwidth / bandwidth, np.finfo(np.float64).max)  # finite, lest 0 * inf is nan
    return np.exp(distances, out=distances)


def median_distance(x: NDArray) -> float:
    """Return the median distance between two different rows of ``x (N, D)``; one where they all coincide."""
    if len(x) < 2:
        return 1.0
    upper = np.triu_indices(len(x), k=1)
    median = float(np.sqrt(np.median(squared_distances(x, x)[upper])))
    return median if median > 0 else 1.0


class Regression:
    """What predicts the conditional expectation of any function of a pair, given the pair's input."""

    def mean_weights(self, x_new: NDArray, values: NDArray) -> NDArray:
        """Return ``sum_m A[:, m] values[m]`` of shape ``(N, C)``, with the weights of the new inputs.

        Parameters
        ----------
        x_new : ndarray of shape (M, D)
            New inputs.
        values : ndarray of shape (M, C)
            What the weights of each new input are multiplied by before they are added up.
        """
        weights = self._ridge_weights(x_new, values)
        weights += (values.sum(axis=0) - weights.sum(axis=0)) / len(weights)  # weights are to sum to one
        return weights

    def predict(self, x_new: NDArray, targets: NDArray) -> NDArray:
        """Return the conditional expectation of ``targets (N, T)`` at each new input, ``(M, T)``."""
        mean = targets.mean(axis=0)
        return mean + self._ridge_predict(x_new, targets - mean)

    def _ridge_weights(self, x_new: NDArray, values: NDArray) -> NDArray:
        """Return ``(K + ridge * I)^-1 G values``."""
        raise NotImplementedError

    def _ridge_predict(self, x_new: NDArray, targets: NDArray) -> NDArray:
        """Return ``G' (K + ridge * I)^-1 targets``."""
        raise NotImplementedError


class KernelRegression(Regression):
    """Regression with the Gaussian kernel between all pairs of inputs.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Inputs.
    bandwidth : float
        Standard deviation of the kernel, in the units of the inputs.
    ridge : float
        What is added to the diagonal of the kernel, whose entries are one.

    Attributes
    ----------
    ridge : float
        What was added: more than asked for where that was needed.

    Raises
    ------
    IllConditionedError
        If the kernel cannot be factorized.
    """

    def __init__(self, x: NDArray, bandwidth: float, ridge: float) -> None:
        self._x = x
        self._bandwidth = bandwidth
        self._factor, self.ridge = factorized(gaussian_kernel(x, x, bandwidth), ridge)

    def _ridge_weights(self, x_new: NDArray, values: NDArray) -> NDArray:
        return linalg.cho_solve(self._factor, self._kernel(x_new) @ values, overwrite_b=True, check_finite=False)

    def _ridge_predict(self, x_new: NDArray, targets: NDArray) -> NDArray:
        return self._kernel(x_new).T @ linalg.cho_solve(self._factor, targets, check_finite=False)

    def _kernel(self, x_new: NDArray) -> NDArray:
        return gaussian_kernel(self._x, x_new, self._bandwidth)


def factorized(gram: NDArray, ridge: float) -> tuple[tuple[NDArray, bool], float]:
    """Return the Cholesky factor of ``gram + ridge * I``, and the ridge with which it exists; `gram` is overwritten."""
    diagonal = gram.diagonal().copy()
    for attempt in range(N_JITTERS + 1):
        raised = ridge * JITTER_FACTOR**attempt
        np.fill_diagonal(gram, diagonal + raised)
        try:
            # The transpose is in LAPACK's order, and is not copied. Its other triangle is left alone.
            return linalg.cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False), raised
        except linalg.LinAlgError:
            below = np.tril(gram, -1)
            np.add(below, below.T, out=gram)
    raise IllConditionedError(ridge)


# ---------------------------------------------------------------------- tuning


class Tuning(NamedTuple):
    """A choice of bandwidth and ridge, and the relative leave-one-out error that it has."""

    bandwidth: float
    ridge: float
    error: float


def standardized(targets: NDArray) -> NDArray:
    """Return the targets ``(n, T)`` with mean zero and mean square one, without those that are constant."""
    deviations = targets - targets.mean(axis=0)
    spread = np.sqrt(np.square(deviations).mean(axis=0))
    varying = spread > NEGLIGIBLE * np.abs(targets).max(axis=0, initial=0.0)
    return deviations[:, varying] / spread[varying]


def leave_one_out_residuals(kernel: NDArray, targets: NDArray, ridges: Sequence[float]) -> list[NDArray]:
    """Return, for each ridge, the residuals ``(n, T)`` of predicting each row of the targets from all others.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Kernel between the inputs.
    targets : ndarray of shape (n, T)
        What is predicted.
    ridges : sequence of float
        What is added to the diagonal of the kernel.
    """
    eigenvalues, vectors = linalg.eigh(kernel, check_finite=False)
    np.maximum(eigenvalues, 0, out=eigenvalues)
    rotated = vectors.T @ targets
    squares = np.square(vectors)
    residuals = []
    for ridge in ridges:
        shrinkage = 1 / (eigenvalues + ridge)
        alpha = vectors @ (shrinkage[:, np.newaxis] * rotated)
        residuals.append(alpha / (squares @ shrinkage)[:, np.newaxis])
    return residuals


def tune(x: NDArray, targets: NDArray, bandwidths: Sequence[float], ridges: Sequence[float]) -> Tuning:
    """Return the bandwidth and the ridge with the least leave-one-out error.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is to be predicted, with mean zero; targets count by their variance.
    bandwidths, ridges : sequence of float
        What there is to choose from.

    Returns
    -------
    tuning : Tuning
        The choice; its error is relative to predicting the mean.
    """
    distances = squared_distances(x, x)
    choices = []
    for bandwidth in bandwidths:
        kernel = _gaussian(distances.copy(), bandwidth)
        ridge, error = best_ridge(leave_one_out_residuals(kernel, targets, ridges), targets, ridges)
        choices.append(Tuning(bandwidth, ridge, error))
    return min(choices, key=lambda choice: choice.error)


def best_ridge(residuals: Sequence[NDArray], targets: NDArray, ridges: Sequence[float]) -> tuple[float, float]:
    """Return the ridge whose residuals are least, and their squares as part of those of the targets."""
    total = np.square(targets).sum() or 1.0
    errors = [float(np.square(residual).sum() / total) for residual in residuals]
    best = int(np.argmin(errors))
    return ridges[best], errors[best]
