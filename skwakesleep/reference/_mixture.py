"""Mixtures of independent columns."""

import warnings
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches

from skwakesleep._adapters import validation
from skwakesleep._adapters._sklearn import Interval
from skwakesleep.reference._base import BATCH, SMALLEST, BinaryDensity, dense, probabilities, smoothed_means


class BernoulliMixture(BinaryDensity):
    """Mixture of independent binary columns, fitted by expectation maximization.

    Parameters
    ----------
    n_components : int, default=10
        Number of components.

    n_init : int, default=1
        Number of starts, of which the best is kept.

    max_iter : int, default=100
        Largest number of iterations of each.

    tol : float, default=1e-3
        A start ends when the objective has risen by less, in nats per row.

    smoothing : float, default=1.0
        Number of rows that are added to each component, in (0, inf): rows with the means of all data, to which as many
        rows of coin tosses are added. As many are shared out among the components' weights.

    binarize : float or None, default=None
        Values above it are ones, others zeros. None takes values in [0, 1], fractions being probabilities.

    random_state : int, RandomState instance or None, default=None
        Chooses the rows that the components start at.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Probability of each component.

    means_ : ndarray of shape (n_components, n_features)
        Probability of a one in each column.

    lower_bound_ : float
        The objective of the best start, in nats per row: mean log-likelihood and log-density of the added rows.

    lower_bounds_ : list of float
        The same for each of its iterations.

    converged_ : bool
        Whether the best start ended because of `tol`.

    n_iter_ : int
        Number of its iterations.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The same for real data.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import BernoulliMixture
    >>> X = np.repeat([[0, 0, 0], [1, 1, 1]], 50, axis=0)
    >>> mixture = BernoulliMixture(2, random_state=0).fit(X)
    >>> mixture.weights_.round(2)
    array([0.5, 0.5])
    """

    _parameter_constraints: dict = {
        **BinaryDensity._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_components=10, *, n_init=1, max_iter=100, tol=1e-3, smoothing=1.0, binarize=None, random_state=None
    ):
        self.n_components = n_components
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.smoothing = smoothing
        self.binarize = binarize
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the mixture to the rows of `X`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : None
            Ignored.

        Returns
        -------
        self : BernoulliMixture
            The fitted mixture.

        Raises
        ------
        ValueError
            If a parameter or `X` is not what it should be: with ``binarize=None``, values of `X` must be in [0, 1].

        Warns
        -----
        ConvergenceWarning
            If the best start took `max_iter` iterations without an improvement below `tol`.

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import BernoulliMixture
        >>> X, _ = make_bars(100, random_state=0)
        >>> BernoulliMixture(2, random_state=0).fit(X).means_.shape
        (2, 16)
        """
        super().fit(X)
        if not self.converged_:
            warnings.warn(
                f"BernoulliMixture reached max_iter={self.max_iter} iterations before its improvement fell below "
                f"tol={self.tol}. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _fitted_attributes(self, X):
        generator = np.random.default_rng(validation.entropy(self.random_state))
        prior = smoothed_means(X, self.smoothing)
        starts = [self._climb(X, prior, self._start(X, prior, generator)) for _ in range(self.n_init)]
        components, lower_bounds, converged = max(starts, key=lambda start: start[1][-1])
        return {
            "weights_": np.exp(components.log_weights),
            "means_": components.means,
            "lower_bound_": lower_bounds[-1],
            "lower_bounds_": lower_bounds,
            "converged_": converged,
            "n_iter_": len(lower_bounds),
        }

    def _start(self, X, prior, generator):
        """Return components halfway between a row each and the mean of all rows."""
        rows = generator.choice(X.shape[0], self.n_components, replace=self.n_components > X.shape[0])
        log_weights = np.full(self.n_components, -np.log(self.n_components))
        return Components(log_weights, (dense(X[np.sort(rows)]) + prior) / 2)

    def _climb(self, X, prior, components):
        """Return the components at the end, the objective in each iteration, and whether it had come to rest."""
        lower_bounds = []
        for _ in range(self.max_iter):
            log_density, counts, ones = _expect(X, components)
            lower_bounds.append((log_density + self._log_prior(prior, components)) / X.shape[0])
            components = self._maximize(counts, ones, prior)
            if len(lower_bounds) > 1 and lower_bounds[-1] - lower_bounds[-2] < self.tol:
                return components, lower_bounds, True
        return components, lower_bounds, False

    def _log_prior(self, prior, components):
        """Return the log-density of the rows that are added."""
        log_rows = (prior * np.log(components.means) + (1 - prior) * np.log1p(-components.means)).sum()
        return float(self.smoothing * (log_rows + components.log_weights.mean()))

    def _maximize(self, counts, ones, prior):
        """Return the components that the responsibilities ask for."""
        share = self.smoothing / self.n_components
        weights = (counts + share) / (counts.sum() + self.smoothing)
        means = (ones + self.smoothing * prior) / (counts[:, np.newaxis] + self.smoothing)
        return Components(np.log(np.maximum(weights, SMALLEST)), probabilities(means))

    def _log_prob(self, X):
        return logsumexp(Components(np.log(self.weights_), self.means_).log_joint(X), axis=1)

    def _draw(self, n_samples, generator):
        components = generator.choice(len(self.weights_), n_samples, p=self.weights_ / self.weights_.sum())
        return generator.random((n_samples, self.means_.shape[1])) < self.means_[components]


class Components(NamedTuple):
    """Log-weights ``(n_components,)`` and means ``(n_components, n_features)``."""

    log_weights: NDArray
    means: NDArray

    def log_joint(self, X):
        """Return the log-probability of each row together with each component, in nats."""
        silent = np.log1p(-self.means)
        return X @ (np.log(self.means) - silent).T + (self.log_weights + silent.sum(axis=1))


def _expect(X, components):
    """Return the log-likelihood of all rows, and for each component its rows and the sums of its columns.

    A batch at a time: the responsibilities of all rows are never held.
    """
    log_likelihood, counts, ones = 0.0, np.zeros(len(components.means)), np.zeros_like(components.means)
    for batch in gen_batches(X.shape[0], BATCH):
        rows = X[batch]
        log_joint = components.log_joint(rows)
        log_prob = logsumexp(log_joint, axis=1, keepdims=True)
        responsibilities = np.exp(log_joint - log_prob)
        log_likelihood += float(log_prob.sum())
        counts += responsibilities.sum(axis=0)
        ones += (rows.T @ responsibilities).T
    return log_likelihood, counts, ones
