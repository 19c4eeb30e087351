"""The posterior of the hidden units as weighted states, and how the log-likelihood follows from it."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.machine.rows import Visible


class Particles(NamedTuple):
    """Weighted states of hidden units for each row: the posterior, up to its normalization.

    ``states (B, K, N)`` or, if they are the same for all rows, ``(1, K, N)``: the units of the bottom hidden layer,
    given which the columns do not depend on the layers above. ``log_weights (B, K)`` in nats add up to ``p(x)`` of the
    row: exactly if the states are all there are, otherwise on average over the draws. ``units (B, K, N)`` are the
    visible units with missing ones filled in, where later columns depend on them; otherwise None. If the particles are
    all ways to fill them in, the hidden units are summed out, and N of the states is zero.
    """

    states: NDArray
    log_weights: NDArray
    exact: bool
    units: NDArray | None = None

    @property
    def weights(self) -> NDArray:
        """Weights ``(B, K)`` that add up to one."""
        return np.exp(self.log_weights - self.log_likelihood[:, np.newaxis])

    @property
    def log_likelihood(self) -> NDArray:
        """Log-likelihood of each row in nats, ``(B,)``; unless exact, a lower bound on average."""
        return log_sum_exp(self.log_weights, axis=1)

    def rows(self, some: NDArray) -> "Particles":
        """Return copies of the particles of some rows."""
        units = None if self.units is None else self.units[some]
        return Particles(self.states[some], self.log_weights[some], self.exact, units)

    @classmethod
    def merged(cls, some: NDArray, own: "Particles", others: "Particles") -> "Particles":
        """Return the particles of some rows together with those of all others; `some` is a mask."""

        def joined(first: NDArray, second: NDArray) -> NDArray:
            both = np.empty((len(some), *first.shape[1:]), first.dtype)
            both[some], both[~some] = first, second
            return both

        units = None if own.units is None or others.units is None else joined(own.units, others.units)
        states, log_weights = joined(own.states, others.states), joined(own.log_weights, others.log_weights)
        return cls(states, log_weights, own.exact, units)


class Posterior(Protocol):
    """A way to compute the posterior of the hidden units given rows."""

    n_rows: int
    """Fixed block size of rows, so that results do not depend on batching."""

    def __call__(self, x: Visible) -> Particles:
        """Return particles for each row."""

    def bracket(self, x: Visible, causes: list[NDArray]) -> tuple[Particles, Particles]:
        """Return particles for lower and upper bounds of the likelihood of dreams.

        Parameters
        ----------
        x : Visible
            Dreams of B rows.
        causes : list of ndarray of shape (B, 1, n)
            The hidden layers that generated them, bottom up: exact draws from the posterior.
        """


class Estimate(NamedTuple):
    """Log-likelihoods of rows with their errors, arrays of shape ``(B,)``.

    ``log_likelihood`` is in nats. ``standard_error``, in nats, is its Monte-Carlo error: zero if it is exact, NaN with
    a single particle. ``effective_size`` is the number of equally weighted particles with the same error: infinite if
    it is exact.
    """

    log_likelihood: NDArray
    standard_error: NDArray
    effective_size: NDArray


def estimate_of(particles: Particles) -> Estimate:
    """Return the log-likelihood of each row and its error.

    The error is by the jackknife: the spread of the estimate when each particle in turn is left out. It is too large
    rather than too small on average (Efron & Stein 1981), and grows without bound if one particle gets all the weight.
    The delta method, its limit for many particles, would be too small, and never above one nat.
    """
    log_likelihood = particles.log_likelihood
    if particles.exact:
        return Estimate(log_likelihood, np.zeros_like(log_likelihood), np.full_like(log_likelihood, np.inf))
    n_particles = particles.log_weights.shape[1]
    log_sum = np.maximum(log_likelihood, np.finfo(log_likelihood.dtype).min)
    shares = np.exp(particles.log_weights - log_sum[:, np.newaxis])
    concentration = np.maximum(np.square(shares).sum(axis=1), 1 / n_particles)
    error = np.full_like(log_likelihood, np.nan)
    if n_particles > 1:
        changes = np.log1p(-np.minimum(shares, 1 - np.finfo(shares.dtype).epsneg))
        error = np.sqrt(n_particles - 1) * changes.std(axis=1)
    return Estimate(log_likelihood, error, 1 / concentration)
