"""Errors of fitted parameters, from the Fisher information.

The information per row is ``K = E[s(x) s(x)']`` with the score ``s(x) = grad log p(x)``. Learned scores are shrunken,
so their own outer product is too small. Instead, the scores ``S`` of pairs of latents and observations are regressed
linearly on statistics ``m(x)`` of fresh dreams. As ``s(x) = E[S | x]``, this is the regression of ``s(x)``, and the
covariance of its predictions is ``K``, less the information that the statistics miss. It is the information of the
equation that the mean of ``m(x)`` over the data is its mean over dreams (Godambe 1960), and never more than ``K``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import failing_at
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep._engine.amortised.row_scores import has_likelihood, pair_scores, row_statistics
from skwakesleep._engine.amortised.state import Fit
from skwakesleep._engine.arrays.numerics import differences

# Fresh dreams for each dream of a training step. The noise of the smallest share of information is inverse to them.
FRESH_FACTOR = 20
# The least number of them for each statistic, so that their regression has residuals.
FRESH_PER_STATISTIC = 20
# Groups of dreams that are left out in turn, for the Monte-Carlo error.
N_GROUPS = 10
# Eigenvalues of the information of the pairs, in units of its diagonal, below which it is zero up to rounding.
SINGULAR = 1e-8
# Standard errors of the share of information by which it must exceed zero.
N_NOISE = 4.0
# Growth of a variance, if a flat direction has as much information as its noise allows, from which on it is not given.
TOLERATED_GROWTH = 0.5


class Errors(NamedTuple):
    """Errors of named parameters, whose ``T`` entries are in one vector.

    Attributes
    ----------
    covariance : ndarray of shape (T, T)
        Their covariance; NaN for those that are fixed or not determined.
    monte_carlo : ndarray of shape (T,)
        Standard errors, due to the simulation, of their standard errors.
    undetermined : ndarray of shape (T,), bool
        Entries that are not determined, because they are part of a flat direction.
    """

    covariance: NDArray
    monte_carlo: NDArray
    undetermined: NDArray


class Calibration(NamedTuple):
    """Information of a row, from statistics of dreamed rows and scores of their pairs.

    Attributes
    ----------
    slopes : ndarray of shape (R, P)
        Of the linear regression of the scores on the statistics.
    complete : ndarray of shape (P, P)
        Information of a pair.
    observed : ndarray of shape (P, P)
        Information of a row, corrected for the noise of the slopes.
    excess : ndarray of shape (P, P)
        Covariance of the predictions that is due to this noise.
    noise : float
        Standard error of the share of the information of pairs that rows have, where the share is zero.
    """

    slopes: NDArray
    complete: NDArray
    observed: NDArray
    excess: NDArray
    noise: float


def calibration(products: NDArray, n: int, n_params: int) -> Calibration:
    """Return the calibration, given sums of products of centered ``R`` statistics and ``P`` scores of ``n`` pairs."""
    blocks = np.split(products / n, [len(products) - n_params])
    (variance, crossed), (_, complete) = (np.split(block, [len(products) - n_params], axis=1) for block in blocks)
    scale = _root_diagonal(variance)
    values, vectors = np.linalg.eigh(variance / np.outer(scale, scale))
    kept = values > SINGULAR
    root = vectors[:, kept] / np.sqrt(values[kept]) / scale[:, np.newaxis]
    loadings = root.T @ crossed
    explained, rank = loadings.T @ loadings, len(loadings)
    # In a regression on as many variables as the rank, the residual variance is too small by the factor 1 - rank / n.
    excess = (complete - explained) * rank / (n - rank - 1)
    return Calibration(root @ loadings, complete, explained - excess, excess, np.sqrt(2 * rank) / n)


def _root_diagonal(matrix: NDArray) -> NDArray:
    diagonal = np.diagonal(matrix)
    return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


class Inverse:
    """Inverse of the information of a row, in the directions in which it is not zero.

    The shares of the information of pairs that rows have are between zero and one, and do not depend on units.

    Parameters
    ----------
    calibrated : Calibration
        The information.
    curvature : ndarray of shape (P, P)
        What a prior adds to the information of a row.
    """

    def __init__(self, calibrated: Calibration, curvature: NDArray) -> None:
        complete, observed = calibrated.complete + curvature, calibrated.observed + curvature
        scale = _root_diagonal(complete)[:, np.newaxis]
        values, vectors = np.linalg.eigh(complete / scale / scale.T)
        kept = values > SINGULAR
        whitener = vectors[:, kept] / np.sqrt(values[kept]) / scale
        shares, directions = np.linalg.eigh(whitener.T @ observed @ whitener)
        # Where rows have all the information of pairs, nothing is left for noise.
        least = max(N_NOISE * calibrated.noise * (1 - shares.min()), SINGULAR)
        seen, root = shares > least, whitener @ directions
        self.matrix = (root[:, seen] / shares[seen]) @ root[:, seen].T
        self._flat = np.hstack([vectors[:, ~kept] / scale / np.sqrt(SINGULAR), root[:, ~seen]]) / np.sqrt(least)

    def undetermined(self, jacobian: NDArray) -> NDArray:
        """Return whether functions with a Jacobian ``(T, P)`` change along a flat direction, ``(T,)``."""
        variance = np.vecdot(jacobian @ self.matrix, jacobian)
        return np.square(jacobian @ self._flat).sum(axis=1) > TOLERATED_GROWTH * variance


def errors(problem: Problem, fit: Fit, rng: Generator, *, sandwich: bool) -> Errors:
    """Return the errors of the named parameters of a fit to the rows of a problem.

    Parameters
    ----------
    problem : Problem
        The model, and the rows.
    fit : Fit
        Parameters, whose units are those of the problem.
    rng : numpy.random.Generator
        Draws the dreams.
    sandwich : bool
        Whether the covariance of the scores is that of the rows, not that of the model.
    """
    theta = fit.theta
    with failing_at(fit.theta_in_units), np.errstate(all="ignore"):  # an overflow of the model shows in the scores
        statistics, pairs, of_rows = _scores(problem, theta, rng)
    data = _centered(of_rows(problem.rows)) if sandwich else None
    curvature, jacobian = _prior_curvature(problem, theta), named_jacobian(problem, theta)

    def at(products: NDArray, n: int) -> tuple[NDArray, NDArray]:
        calibrated = calibration(products, n, len(theta))
        inverse = Inverse(calibrated, curvature)
        covariance = inverse.matrix
        if data is not None:
            scores = data @ calibrated.slopes
            covariance = covariance @ (scores.T @ scores / len(scores) - calibrated.excess) @ covariance
        return jacobian @ covariance @ jacobian.T / len(problem.rows), inverse.undetermined(jacobian)

    products, sizes = _grouped_products(np.hstack([_centered(statistics), _centered(pairs)]))
    total, n = products.sum(axis=0), sizes.sum()
    covariance, undetermined = at(total, n)
    others = zip(total - products, n - sizes, strict=True)
    roots = [np.sqrt(np.maximum(np.diagonal(at(*other)[0]), 0)) for other in others]
    monte_carlo = np.sqrt((N_GROUPS - 1) * np.var(roots, axis=0))  # the jackknife
    undetermined |= np.diagonal(covariance) < 0  # by the noise of few dreams
    left_out = undetermined | ~jacobian.any(axis=1)  # what does not depend on the parameters is fixed
    covariance[left_out] = covariance[:, left_out] = monte_carlo[left_out] = np.nan
    return Errors(covariance, monte_carlo, undetermined)


def _scores(problem: Problem, theta: NDArray, rng: Generator) -> tuple[NDArray, NDArray, Callable[[NDArray], NDArray]]:
    """Return statistics of fresh dreams, the scores of their pairs, and the function that gives statistics of rows."""
    statistics_of = row_statistics(problem, theta, rng)
    n_statistics = statistics_of(problem.rows[:1]).shape[1]
    n_fresh = max(FRESH_FACTOR * problem.settings.n_dreams, FRESH_PER_STATISTIC * n_statistics)
    dreams, _ = problem.simulation.dream(theta, n_fresh, problem.rows, rng)
    statistics = statistics_of(dreams.x)
    pairs = statistics if has_likelihood(problem) else pair_scores(problem, theta, dreams)
    if not (np.isfinite(statistics).all() and np.isfinite(pairs).all()):
        raise ValueError(problem.described("The errors cannot be estimated: scores of dreams are not finite", theta))
    return statistics, pairs, statistics_of


def _grouped_products(columns: NDArray) -> tuple[NDArray, NDArray]:
    """Return the sums of products of columns over each group of rows, and the sizes of the groups."""
    groups = np.array_split(columns, N_GROUPS)
    return np.stack([group.T @ group for group in groups]), np.array([len(group) for group in groups])


def _centered(scores: NDArray) -> NDArray:
    return scores - scores.mean(axis=0)


def _prior_curvature(problem: Problem, theta: NDArray) -> NDArray:
    """Return minus the second derivatives of the log prior per row to train on, ``(P, P)``."""
    hessian = _jacobian(problem.grad_log_prior, theta) * problem.n_rows / len(problem.rows)
    return -(hessian + hessian.T) / 2  # differences are symmetric up to rounding


def _jacobian(function: Callable[[NDArray], NDArray], theta: NDArray) -> NDArray:
    """Return the Jacobian ``(T, P)`` of a function by central differences."""
    return np.stack([change / length for change, length in differences(function, theta)], axis=1)


# ---------------------------------------------------------------------- parameters by name


def named_parameters(model: Any, theta_in_units: NDArray) -> dict[str, NDArray]:
    """Return the parameters by name, as arrays of floats."""
    named = model.unpack(theta_in_units) if hasattr(model, "unpack") else {"theta": theta_in_units}
    return {name: np.asarray(value, dtype=np.float64) for name, value in named.items()}


def flat_parameters(named: dict[str, Any]) -> NDArray:
    """Return the entries of all named parameters as one vector."""
    return np.concatenate([np.ravel(value) for value in named.values()])


def named_jacobian(problem: Problem, theta: NDArray) -> NDArray:
    """Return the derivatives ``(T, P)`` of the entries of the named parameters, in the units of the columns."""

    def entries(end: NDArray) -> NDArray:
        return flat_parameters(named_parameters(problem.model, problem.params_in_units(end)))

    return _jacobian(entries, theta)
