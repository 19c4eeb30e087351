"""Linear feature maps for the inputs of the regression, fitted to dreams.

With a thousand pairs, a Gaussian kernel can resolve a few dozen dimensions. Often fewer directions of the observations
hold all the information about the latents; a linear map to these directions overcomes the limit. A Gaussian kernel also
does not depend on the rotation of its inputs. Where the rotation matters, there is one direction for each latent, and
the regression is additive instead.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.optimize import minimize

from skwakesleep._engine.amortised.kernels import gaussian_kernel, median_distance
from skwakesleep._engine.amortised.regression import factorized, standardized
from skwakesleep._engine.amortised.units import Units
from skwakesleep._engine.machine.moments import measure

# Principal directions whose singular value is below this share of the largest are constant up to rounding.
RANK_TOLERANCE = 1e-10
# Lower bound on the weight of a direction: one that predicts nothing yet may do so later in the training.
MIN_WEIGHT = 0.1
# Iterations of the optimizer at each tuning.
N_ITERATIONS = 15
# Learned directions are used if they reduce the error on held-out pairs to this share.
CONFIRMED = 0.95


class FittedTransformer:
    """A transformer that was fitted to dreams, as a feature map.

    Parameters
    ----------
    transformer : transformer
        Fitted to rows in the units of the columns.
    units : Units
        The units of the rows to map.
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


def in_units(fit: Callable[[NDArray], Any], units: Units) -> Callable[[NDArray], FittedTransformer]:
    """Return a function that fits a transformer to rows in given units, which it sees in the units of the columns."""
    return lambda x: FittedTransformer(fit(units.restored(x)), units)


class LinearMap:
    """Linear map of observations, ``(n, D)`` to ``(n, F)``.

    Parameters
    ----------
    projection : ndarray of shape (F, D)
        The map.
    center : ndarray of shape (D,) or float
        Subtracted first. A kernel depends on it by rounding errors only.
    """

    def __init__(self, projection: NDArray, center: NDArray | float = 0.0) -> None:
        self.projection = projection
        self.center = center

    def __call__(self, x: NDArray) -> NDArray:
        return (x - self.center) @ self.projection.T


def scaling(x: NDArray) -> LinearMap:
    """Return the map that gives each column of ``x (n, D)`` unit variance; constant columns are only centered."""
    moments = measure(x)
    return LinearMap(np.diag(1 / np.where(moments.deviations > 0, moments.deviations, 1.0)), moments.means)


def predictive_directions(x: NDArray, targets: NDArray, n_components: int | None = None) -> LinearMap:
    """Return the directions of the inputs that predict targets linearly, by canonical correlation analysis.

    For a linear model with normal latents and noise they hold all the information about the latents. The directions are
    uncorrelated. The standard deviation of each is its correlation with the targets, adjusted for chance, so that
    directions that predict less count less in the kernel.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is predicted.
    n_components : int or None
        Number of directions, in descending order of correlation; None keeps as many as there are independent targets.
    """
    whitening, white = _whitened(x)
    _, white_targets = _whitened(targets)
    directions, correlations, _ = np.linalg.svd(white.T @ white_targets / len(x), full_matrices=False)
    freedom = max(len(x) - white.shape[1] - 1, 1)
    determination = 1 - (1 - correlations**2) * (len(x) - 1) / freedom
    weights = np.sqrt(np.clip(determination, MIN_WEIGHT**2, 1.0))
    return LinearMap((whitening @ directions * weights)[:, :n_components].T, x.mean(axis=0))


def latent_directions(x: NDArray, latents: NDArray) -> LinearMap:
    """Return the linear prediction of each latent from the inputs, centered and with unit variance.

    They span the same space as `predictive_directions`, but in the rotation of the latents. If the latents are
    independent, a function of one latent depends, nearly, on one of these predictions alone.

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

    The directions are learned from half of the pairs. They are used if they reduce the error on the other half.

    Parameters
    ----------
    x : ndarray of shape (n, D)
        Inputs.
    targets : ndarray of shape (n, T)
        What is predicted, with mean zero.
    n_components : int or None
        Number of directions, see `predictive_directions`.
    bandwidth : float
        Initial bandwidth of the kernel, as a multiple of the median distance between inputs.
    ridge : float
        Added to the diagonal of the kernel.
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
    held_out = (x[half:], targets[half:], ridge)
    before, after = (leave_one_out_gradient(projection / scale, *held_out)[0] for projection in (start, learned))
    return LinearMap(learned, predictive.center) if after < CONFIRMED * before else predictive


def _whitened(x: NDArray) -> tuple[NDArray, NDArray]:
    """Return a matrix ``(D, rank)``, and the centered rows times it, which are uncorrelated with unit variance."""
    centered = x - x.mean(axis=0)
    scale = np.abs(centered).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    _, singular, axes = np.linalg.svd(centered / scale, full_matrices=False)
    rank = int((singular > RANK_TOLERANCE * singular.max(initial=0.0)).sum())
    whitening = (axes[:rank].T * (np.sqrt(len(x)) / singular[:rank])) / scale[:, np.newaxis]
    return whitening, centered @ whitening


def leave_one_out_gradient(projection: NDArray, x: NDArray, targets: NDArray, ridge: float) -> tuple[float, NDArray]:
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
        Added to the diagonal of the kernel.

    Returns
    -------
    error : float
        Leave-one-out error, relative to predicting the mean.
    gradient : ndarray of shape (F, D)
        Its gradient.
    """
    u = x @ projection.T
    kernel = gaussian_kernel(u, u, 1.0)
    factor, _ = factorized(kernel.copy(), ridge)
    inverse = linalg.cho_solve(factor, np.eye(len(x)), overwrite_b=True, check_finite=False)
    alpha = inverse @ targets
    q = 1 / inverse.diagonal()
    residuals = alpha * q[:, np.newaxis]
    error = np.square(residuals).sum()
    influence = (inverse * (q * np.square(residuals).sum(axis=1))) @ inverse
    influence -= (inverse @ (q[:, np.newaxis] * residuals)) @ alpha.T
    influence += influence.T.copy()  # twice the symmetric part
    influence *= kernel
    # d exp(-|u_i - u_j|^2 / 2) = -kernel_ij (u_i - u_j) (du_i - du_j)
    grad_u = 2 * (influence @ u - influence.sum(axis=1)[:, np.newaxis] * u)
    return float(error) / targets.size, grad_u.T @ x / targets.size
