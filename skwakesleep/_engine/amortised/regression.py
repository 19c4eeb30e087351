"""Ridge regression of conditional expectations, and the choice of bandwidth and ridge by leave-one-out error.

With the kernel ``K (N, N)`` between the inputs of a sample and ``G (N, M)`` between them and new inputs, any target
``y (N,)`` is predicted by ``A' y`` with ``A = (K + ridge * I)^-1 G (N, M)``: the weights do not depend on the target.
Targets are predicted as deviations from their mean. This makes the weights for each new input sum to one, so that
constants are not shrunk.

The kernel is Gaussian, or the inner product of features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skwakesleep._engine.amortised.kernels import FeatureMap, gaussian, gaussian_kernel, squared_distances

# Pairs that a regression is tuned on.
N_TUNING_PAIRS = 300
# A kernel that is not positive definite in floating point gets a ridge that is larger by this factor, up to as many
# times as `N_RAISES`.
RAISE_FACTOR = 10.0
N_RAISES = 5
# Targets whose standard deviation is below this share of their largest magnitude are constant up to rounding.
CONSTANT_TOLERANCE = 1e-10


class RidgeRegression:
    """Predicts the conditional expectation of any function of a pair, given the pair's input.

    If the kernel is ``F F'`` with features ``F (N, R)``, the time is linear in the number of pairs, because
    ``(F F' + ridge * I)^-1 F = F (F' F + ridge * I)^-1``.

    Parameters
    ----------
    gram : ndarray of shape (N, N) or (R, R)
        ``K``, or ``F' F``. It is overwritten.
    ridge : float
        Added to the diagonal.
    evaluate : callable
        Maps new inputs to ``G' (M, N)``, or to their features ``(M, R)``.
    features : ndarray of shape (N, R) or None
        ``F``; None if `gram` is the kernel.

    Attributes
    ----------
    ridge : float
        What was added: more than `ridge` if the matrix was not positive definite otherwise.
    """

    def __init__(self, gram: NDArray, ridge: float, evaluate: FeatureMap, features: NDArray | None = None) -> None:
        self._factor, self.ridge = factorized(gram, ridge)
        self._evaluate = evaluate
        self._features = features

    def mean_weights(self, x_new: NDArray, values: NDArray) -> NDArray:
        """Return ``sum_m A[:, m] values[m]`` of shape ``(N, C)``, with weights that sum to one.

        Parameters
        ----------
        x_new : ndarray of shape (M, D)
            New inputs.
        values : ndarray of shape (M, C)
            Multiplied with the weights of each new input before they are added up.
        """
        weights = self._solved(self._evaluate(x_new).T @ values)
        if self._features is not None:
            weights = self._features @ weights
        weights += (values.sum(axis=0) - weights.sum(axis=0)) / len(weights)
        return weights

    def predict(self, x_new: NDArray, targets: NDArray) -> NDArray:
        """Return the conditional expectation of ``targets (N, T)`` at each new input, ``(M, T)``."""
        mean = targets.mean(axis=0)
        right = targets - mean if self._features is None else self._features.T @ (targets - mean)
        return mean + self._evaluate(x_new) @ self._solved(right)

    def _solved(self, right: NDArray) -> NDArray:
        return linalg.cho_solve(self._factor, right, check_finite=False)


def kernel_regression(x: NDArray, bandwidth: float, ridge: float) -> RidgeRegression:
    """Return a ridge regression with the Gaussian kernel between all pairs of inputs ``x (N, D)``."""
    gram = gaussian_kernel(x, x, bandwidth)
    return RidgeRegression(gram, ridge, lambda x_new: gaussian_kernel(x, x_new, bandwidth).T)


def feature_regression(x: NDArray, feature_map: FeatureMap, ridge: float) -> RidgeRegression:
    """Return a ridge regression with the kernel that is the inner product of features.

    Parameters
    ----------
    x : ndarray of shape (N, D)
        Inputs.
    feature_map : callable
        Maps inputs to features, ``(n, D)`` to ``(n, R)``, with squared norms of about one.
    ridge : float
        Added to the diagonal of the kernel.
    """
    features = feature_map(x)
    return RidgeRegression(features.T @ features, ridge, feature_map, features)


def factorized(gram: NDArray, ridge: float) -> tuple[tuple[NDArray, bool], float]:
    """Return the Cholesky factor of ``gram + ridge * I``, and the ridge with which it exists; `gram` is overwritten.

    Raises
    ------
    ValueError
        If the matrix cannot be factorized, not even with a much larger ridge.
    """
    diagonal = gram.diagonal().copy()
    for attempt in range(N_RAISES + 1):
        raised = ridge * RAISE_FACTOR**attempt
        np.fill_diagonal(gram, diagonal + raised)
        try:
            # The transpose is in LAPACK's order and is not copied. Its other triangle is not written to.
            return linalg.cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False), raised
        except linalg.LinAlgError:
            below = np.tril(gram, -1)
            np.add(below, below.T, out=gram)
    raise ValueError(
        f"The kernel regression is ill-conditioned: it failed with ridge={ridge:.3g}, and with up to "
        f"{RAISE_FACTOR**N_RAISES:.0e} times as much. Raise ridge."
    )


# ---------------------------------------------------------------------- choice of bandwidth and ridge


def standardized(targets: NDArray) -> NDArray:
    """Return the targets ``(n, T)`` with mean zero and mean square one, without those that are constant."""
    deviations = targets - targets.mean(axis=0)
    spread = np.sqrt(np.square(deviations).mean(axis=0))
    varying = spread > CONSTANT_TOLERANCE * np.abs(targets).max(axis=0, initial=0.0)
    return deviations[:, varying] / spread[varying]


def kernel_residuals(kernel: NDArray, targets: NDArray, ridges: Sequence[float]) -> list[NDArray]:
    """Return, for each ridge, the residuals ``(n, T)`` of predicting each row of the targets from all others.

    With ``alpha = (K + ridge * I)^-1 y``, row ``i`` has the residual ``alpha_i / [(K + ridge * I)^-1]_ii``.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Kernel between the inputs.
    targets : ndarray of shape (n, T)
        What is predicted.
    ridges : sequence of float
        Added to the diagonal of the kernel.
    """
    eigenvalues, vectors = linalg.eigh(kernel, check_finite=False)
    products = _shrunk(eigenvalues, vectors, targets, ridges)
    return [alpha / diagonal[:, np.newaxis] for alpha, diagonal in products]


def feature_residuals(features: NDArray, targets: NDArray, ridges: Sequence[float]) -> list[NDArray]:
    """Return what `kernel_residuals` does for the kernel ``features @ features.T``, in time linear in the rows.

    With ``H = F (F' F + ridge * I)^-1 F'``, row ``i`` has the residual ``(y - H y)_i / (1 - H_ii)``.
    """
    eigenvalues, vectors = linalg.eigh(features.T @ features, check_finite=False)
    products = _shrunk(eigenvalues, features @ vectors, targets, ridges)
    return [(targets - fitted) / (1 - diagonal)[:, np.newaxis] for fitted, diagonal in products]


def _shrunk(
    eigenvalues: NDArray, basis: NDArray, targets: NDArray, ridges: Sequence[float]
) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield ``S y`` and the diagonal of ``S = B (E + ridge * I)^-1 B'`` for each ridge; `eigenvalues` are clipped."""
    np.maximum(eigenvalues, 0, out=eigenvalues)
    loadings = basis.T @ targets
    squares = np.square(basis)
    for ridge in ridges:
        shrinkage = 1 / (eigenvalues + ridge)
        yield basis @ (shrinkage[:, np.newaxis] * loadings), squares @ shrinkage


def best_ridge(residuals: Sequence[NDArray], targets: NDArray, ridges: Sequence[float]) -> tuple[float, float]:
    """Return the ridge with the smallest squared residuals, and these relative to the squares of the targets."""
    total = np.square(targets).sum() or 1.0
    errors = [float(np.square(residual).sum() / total) for residual in residuals]
    best = int(np.argmin(errors))
    return ridges[best], errors[best]


def tune_kernel(
    x: NDArray, targets: NDArray, bandwidths: Sequence[float], ridges: Sequence[float]
) -> tuple[float, float, float]:
    """Return the bandwidth and the ridge with the smallest leave-one-out error, and that relative error.

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
        kernel = gaussian(distances.copy(), bandwidth)
        choices.append((bandwidth, *best_ridge(kernel_residuals(kernel, targets, ridges), targets, ridges)))
    return min(choices, key=lambda choice: choice[-1])


def tune_ridge(features: NDArray, targets: NDArray, ridges: Sequence[float]) -> tuple[float, float]:
    """Return the ridge with the smallest leave-one-out error of a `FeatureRegression`, and that relative error."""
    return best_ridge(feature_residuals(features, targets, ridges), targets, ridges)
