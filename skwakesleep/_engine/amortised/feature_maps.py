"""Linear feature maps for the regression's inputs, learned from dreams: what is kept is what predicts the targets.

A Gaussian kernel resolves a few dozen dimensions with a thousand pairs, no more. Where fewer directions of the
observations tell all about the latents, a linear map to these directions lifts that ceiling. Nor does a kernel tell one
rotation of the directions from another. Where that matters, there is a direction for each latent, and no kernel.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.optimize import minimize

from skwakesleep._engine.amortised.kernel_regression import factorized, gaussian_kernel, median_distance, standardized
from skwakesleep._engine.amortised.units import Units
from skwakesleep._engine.machine.moments import measure

# Directions in which the inputs vary by less than this part of the most are constant up to rounding.
RANK_TOLERANCE = 1e-10
# No direction is made smaller than this part of its size: what does not predict anything yet may come to do so.
LEAST_WEIGHT = 0.1
# Iterations of the optimizer at each tuning, and the part of the error that held-out pairs must confirm.
N_ITERATIONS = 15
CONFIRMED = 0.95


class FittedTransformer:
    """A transformer that was fitted to dreams, as a feature map.

    Parameters
    ----------
    transformer : transformer
        Fitted to rows in the units of the columns.
    units : Units
        Those of the rows that are to be mapped.
    """

    def __init__(self, transformer: Any, units: Units) -> None:
        self.transformer = transformer
        self.units = units

    def __call__(self, x: NDArray) -> NDArray:
        features = np.asarray(self.transformer.transform(self.units.restored(x)), dtype=np.float64)
        if features.ndim != 2 or len(features) != len(x):
            raise ValueError(
                f"feature_map {self.transformer!r} must return an array of shape ({len(x)}, any). Got shape "
                f"{features.shape}."
            )
        return features


class LinearMap:
    """Linear map of observations, ``(n, D)`` to ``(n, F)``.

    Parameters
    ----------
    projection : ndarray of shape (F, D)
        The map.
    center : ndarray of shape (D,) or float
        What is mapped to zero. Kernels do not depend on it but for rounding.
    """

    def __init__(self, projection: NDArray, center: NDArray | float = 0.0) -> None:
        self.projection = projection
        self.center = center

    def __call__(self, x: NDArray) -> NDArray:
        return (x - self.center) @ self.projection.T


def scaling(x: NDArray) -> LinearMap:
    """Return the map that gives each column of ``x (n, D)`` unit variance; constant columns are left alone."""
    moments = measure(x)
    return LinearMap(np.diag(1 / np.where(moments.deviations > 0, moments.deviations, 1.0)), moments.means)


def predictive_directions(x: NDArray, targets: NDArray, n_components: int | None = None) -> LinearMap:
    """Return the directions of the inputs that predict targets linearly: canonical correlation analysis.

    For a linear model with normal latents and noise they span all that the observations tell about the latents. They
    are uncorrelated, each with its correlation with the targets (adjusted for chance) for standard deviation, so that
    the kernel looks less at what tells less.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is to be predicted.
    n_components : int or None
        Number of directions, those that correlate the most first; None keeps as many as there are independent targets.
    """
    whitening, white = _whitened(x)
    _, white_targets = _whitened(targets)
    directions, correlations, _ = np.linalg.svd(white.T @ white_targets / len(x), full_matrices=False)
    freedom = max(len(x) - white.shape[1] - 1, 1)
    determination = 1 - (1 - correlations**2) * (len(x) - 1) / freedom
    weights = np.sqrt(np.clip(determination, LEAST_WEIGHT**2, 1.0))
    return LinearMap((whitening @ directions * weights)[:, :n_components].T, x.mean(axis=0))


def latent_directions(x: NDArray, latents: NDArray) -> LinearMap:
    """Return the linear prediction of each latent from the inputs, as deviation from its mean, with unit variance.

    Unlike `predictive_directions`, which span the same, they tell the latents apart: what the inputs tell of a function
    of one latent, they tell by one prediction, nearly, where the latents are independent.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    latents : ndarray of shape (n, H)
        Functions of the latents of each pair.
    """
    whitening, white = _whitened(x)
    coefficients = white.T @ standardized(latents) / len(x)
    coefficients /= np.maximum(np.linalg.norm(coefficients, axis=0), RANK_TOLERANCE)
    return LinearMap((whitening @ coefficients).T, x.mean(axis=0))


def learned_directions(
    x: NDArray, targets: NDArray, n_components: int | None, bandwidth: float, ridge: float
) -> LinearMap:
    """Return predictive directions, improved by the gradient of the leave-one-out error where that helps.

    Half of the pairs are learned from. The other half decides: what it does not confirm is not kept.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is to be predicted, with mean zero.
    n_components : int or None
        Number of directions, see `predictive_directions`.
    bandwidth : float
        Bandwidth of the kernel to start from, as a multiple of the median distance between inputs.
    ridge : float
        What is added to the diagonal of the kernel.
    """
    predictive = predictive_directions(x, targets, n_components)
    start, x = predictive.projection, x - predictive.center
    half = len(x) // 2
    if half < 2 or targets.shape[1] == 0:
        return predictive
    scale = bandwidth * median_distance(x @ start.T)

    def loss(flat: NDArray) -> tuple[float, NDArray]:
        error, gradient = leave_one_out_gradient(flat.reshape(start.shape), x[:half], targets[:half], ridge)
        return error, gradient.ravel()

    fit = minimize(loss, (start / scale).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": N_ITERATIONS})
    learned = fit.x.reshape(start.shape) * scale
    before, after = (
        leave_one_out_gradient(projection / scale, x[half:], targets[half:], ridge).error
        for projection in (start, learned)
    )
    return LinearMap(learned, predictive.center) if after < CONFIRMED * before else predictive


def _whitened(x: NDArray) -> tuple[NDArray, NDArray]:
    """Return a matrix ``(D, rank)`` and what it maps the centered rows to: uncorrelated, of unit variance."""
    centered = x - x.mean(axis=0)
    scale = np.abs(centered).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    _, singular, axes = np.linalg.svd(centered / scale, full_matrices=False)
    rank = int((singular > RANK_TOLERANCE * singular.max(initial=0.0)).sum())
    whitening = (axes[:rank].T * (np.sqrt(len(x)) / singular[:rank])) / scale[:, np.newaxis]
    return whitening, centered @ whitening


class LeaveOneOut(NamedTuple):
    """The relative leave-one-out error with a linear feature map, and its gradient."""

    error: float
    gradient: NDArray


def leave_one_out_gradient(projection: NDArray, x: NDArray, targets: NDArray, ridge: float) -> LeaveOneOut:
    """Return the leave-one-out error with the kernel of ``x @ projection.T``, and its gradient in the projection.

    With ``C = (K + ridge * I)^-1``, ``alpha = C y``, ``q_i = 1 / C_ii`` and residuals ``r_i = alpha_i q_i``, a change
    ``dK`` of the kernel changes ``C`` by ``-C dK C``, and so ``sum_i |r_i|^2`` by the inner product of ``dK`` with
    ``2 C diag(q |r|^2) C - 2 C (q r) alpha'``. The bandwidth is part of the projection.

    Parameters
    ----------
    projection : ndarray of shape (F, D)
        Linear map of the inputs; the kernel has bandwidth one.
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        Standardized targets.
    ridge : float
        What is added to the diagonal of the kernel.

    Returns
    -------
    result : LeaveOneOut
        Error, and gradient of shape (F, D).
    """
    u = x @ projection.T
    kernel = gaussian_kernel(u, u, 1.0)
    inverse = _inverse(kernel, ridge)
    alpha = inverse @ targets
    q = 1 / inverse.diagonal()
    residuals = alpha * q[:, np.newaxis]
    error = np.square(residuals).sum()
    influence = (inverse * (q * np.square(residuals).sum(axis=1))) @ inverse
    influence -= (inverse @ (q[:, np.newaxis] * residuals)) @ alpha.T
    influence += influence.T.copy()  # twice the symmetric part
    influence *= kernel
    # The kernel falls with |u_i - u_j|^2 / 2: each pair pulls its two ends.
    grad_u = 2 * (influence @ u - influence.sum(axis=1)[:, np.newaxis] * u)
    return LeaveOneOut(float(error) / targets.size, grad_u.T @ x / targets.size)


def _inverse(kernel: NDArray, ridge: float) -> NDArray:
    factor, _ = factorized(kernel.copy(), ridge)
    return linalg.cho_solve(factor, np.eye(len(kernel)), overwrite_b=True, check_finite=False)
