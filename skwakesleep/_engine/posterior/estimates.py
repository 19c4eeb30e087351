"""What an estimator of the log-likelihood tells of each row."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp


class Estimate(NamedTuple):
    """Log-likelihoods of rows, and how well they are known.

    ``log_likelihood (B,)`` is in nats. ``standard_error (B,)``, likewise, is its Monte-Carlo error: zero where it is
    exact, NaN with a single particle, which tells nothing of its own error. ``effective_size (B,)`` is the number of
    equally weighted particles that would tell as much: infinite where it is exact.
    """

    log_likelihood: NDArray
    standard_error: NDArray
    effective_size: NDArray


class Estimator(Protocol):
    """A way to compute the log-likelihood of rows."""

    rows_at_once: int
    """How many rows it is to be given: always as many, so that what it gives for one depends on that row alone."""

    def __call__(self, x: NDArray) -> Estimate:
        """Estimate the log-likelihood of each row of ``x (B, D)``; where it is not exact, a lower bound on average."""

    def bracket(self, x: NDArray, causes: list[NDArray]) -> tuple[Estimate, Estimate]:
        """Return lower and upper bounds, on average, for dreams ``x (B, D)`` of causes ``(B, n_l)``, bottom up."""


def estimate_of_weights(log_weights: NDArray) -> Estimate:
    """Return the log of the mean weight of the particles, ``(B, K)``.

    The error is by the jackknife: how the estimate changes as each particle in turn is left out. It is too large rather
    than too small on average (Efron & Stein 1981), and grows without bound as a single particle takes all the weight.
    The delta method, its limit for many particles, would be too small, and never above one nat.
    """
    n_particles = log_weights.shape[1]
    log_sum = log_sum_exp(log_weights, axis=1)
    shares = np.exp(log_weights - np.maximum(log_sum, np.finfo(log_sum.dtype).min)[:, np.newaxis])
    concentration = np.maximum(np.square(shares).sum(axis=1), 1 / n_particles)
    error = np.full_like(log_sum, np.nan)
    if n_particles > 1:
        changes = np.log1p(-np.minimum(shares, 1 - np.finfo(shares.dtype).epsneg))
        error = np.sqrt(n_particles - 1) * changes.std(axis=1)
    return Estimate(log_sum - np.log(n_particles), error, 1 / concentration)


def exact_estimate(log_likelihood: NDArray) -> Estimate:
    """Return an estimate without error."""
    return Estimate(log_likelihood, np.zeros_like(log_likelihood), np.full_like(log_likelihood, np.inf))
