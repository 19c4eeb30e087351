"""Independent binary columns, and mixtures of them."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from skwakesleep._adapters.tables import dense
from skwakesleep.reference._base import BATCH_SIZE, MIN_PROBABILITY, BinaryDensity, probabilities, smoothed_means
from skwakesleep.reference._expectation_maximization import MIXTURE_CONSTRAINTS, convergence_notices, maximized


class IndependentBernoulli(BinaryDensity):
    """Independent binary columns: the baseline without any dependence.

    Parameters
    ----------
    smoothing : float, default=1.0
        Number of pseudo-rows of the value 0.5 added to the data, in (0, inf), so that unseen values have a positive
        probability. The value 1 is Jeffreys' prior.

    binarize : float or None, default=None
        Values above the threshold are ones, others zeros. With None, values must be in [0, 1]; fractions are
        probabilities.

    Attributes
    ----------
    means_ : ndarray of shape (n_features,)
        Probability of a one in each column.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    ChowLiuTree : Each column depends on one other column.
    BernoulliMixture : The columns are independent given the component.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import IndependentBernoulli
    >>> coins = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    >>> density = IndependentBernoulli().fit(coins)
    >>> density.score_samples(coins).round(3)
    array([-1.386, -1.386, -1.386, -1.386])
    """

    def _fitted_attributes(self, X):
        return {"means_": smoothed_means(X, self.smoothing)}

    def _log_prob(self, X):
        return joint_log_prob(X, self.means_)

    def _draw(self, n_samples, generator):
        return (generator.random((n_samples, len(self.means_))) < self.means_).astype(np.float64)


class BernoulliMixture(BinaryDensity):
    """Mixture of independent binary columns, fitted by expectation maximization.

    Parameters
    ----------
    n_components : int, default=10
        Number of components.

    n_init : int, default=1
        Number of initializations. The best result is kept.

    max_iter : int, default=100
        Maximum number of iterations per initialization.

    tol : float, default=1e-3
        Iterations stop when the objective rises by less than this, in nats per row.

    smoothing : float, default=1.0
        Number of pseudo-rows added to each component, in (0, inf). Their columns have the means of all data, smoothed
        by the same number of rows of the value 0.5. The weights are smoothed by the same number in total.

    binarize : float or None, default=None
        Values above the threshold are ones, others zeros. With None, values must be in [0, 1]; fractions are
        probabilities.

    random_state : int, RandomState instance or None, default=None
        Seed of the choice of the rows that initialize the components.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Probability of each component.

    means_ : ndarray of shape (n_components, n_features)
        Probability of a one in each column, for each component.

    lower_bound_ : float
        Objective of the best initialization, in nats per row: mean log-likelihood plus log-density of the pseudo-rows.

    lower_bounds_ : list of float
        Objective in each iteration of the best initialization.

    converged_ : bool
        Whether the best initialization stopped because of `tol`.

    n_iter_ : int
        Number of iterations of the best initialization.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The corresponding mixture for real columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import BernoulliMixture
    >>> X = np.repeat([[0, 0, 0], [1, 1, 1]], 50, axis=0)
    >>> mixture = BernoulliMixture(2, random_state=0).fit(X)
    >>> mixture.weights_.round(2)
    array([0.5, 0.5])
    """

    _parameter_constraints: dict = {**BinaryDensity._parameter_constraints, **MIXTURE_CONSTRAINTS}

    def __init__(
        self, n_components=10, *, n_init=1, max_iter=100, tol=1e-3, smoothing=1.0, binarize=None, random_state=None
    ):
        super().__init__(smoothing=smoothing, binarize=binarize)
        self.n_components = n_components
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
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
            If a parameter or `X` is invalid. With ``binarize=None``, values of `X` must be in [0, 1].

        Warns
        -----
        ConvergenceWarning
            If the best initialization did not converge within `max_iter` iterations.

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import BernoulliMixture
        >>> X, _ = make_bars(100, random_state=0)
        >>> BernoulliMixture(2, random_state=0).fit(X).means_.shape
        (2, 16)
        """
        super().fit(X)
        for notice in convergence_notices(self):
            warnings.warn(notice, stacklevel=2)
        return self

    def _fitted_attributes(self, X):
        prior = smoothed_means(X, self.smoothing)

        def start(generator):
            return self._initialize(X, prior, generator)

        def iterate(components):
            log_likelihood, counts, ones = _e_step(X, components)
            objective = (log_likelihood + self._log_prior(prior, components)) / X.shape[0]
            return objective, self._m_step(counts, ones, prior)

        components, attributes = maximized(self, start, iterate)
        return {"weights_": np.exp(components.log_weights), "means_": components.means, **attributes}

    def _initialize(self, X, prior, generator):
        """Return components with means halfway between a random row and the mean of all rows."""
        # A row of zeros and ones alone would be a fixed point: its probabilities of other values are zero.
        rows = generator.choice(X.shape[0], self.n_components, replace=self.n_components > X.shape[0])
        log_weights = np.full(self.n_components, -np.log(self.n_components))
        return Components(log_weights, (dense(X[np.sort(rows)]) + prior) / 2)

    def _log_prior(self, prior, components):
        """Return the log-density of the pseudo-rows."""
        log_rows = (prior * np.log(components.means) + (1 - prior) * np.log1p(-components.means)).sum()
        return float(self.smoothing * (log_rows + components.log_weights.mean()))

    def _m_step(self, counts, ones, prior):
        """Return the components that maximize the expected objective, given sums of the responsibilities."""
        # The pseudo-rows are conjugate priors: Dirichlet for the weights, Beta for the means.
        share = self.smoothing / self.n_components
        weights = (counts + share) / (counts.sum() + self.smoothing)
        means = (ones + self.smoothing * prior) / (counts[:, np.newaxis] + self.smoothing)
        return Components(np.log(np.maximum(weights, MIN_PROBABILITY)), probabilities(means))

    def _log_prob(self, X):
        return logsumexp(joint_log_prob(X, self.means_, np.log(self.weights_)), axis=1)

    def _draw(self, n_samples, generator):
        components = generator.choice(len(self.weights_), n_samples, p=self.weights_ / self.weights_.sum())
        return (generator.random((n_samples, self.means_.shape[1])) < self.means_[components]).astype(np.float64)


class Components(NamedTuple):
    """Log-weights ``(n_components,)`` and means ``(n_components, n_features)``."""

    log_weights: NDArray
    means: NDArray


def joint_log_prob(X, means, log_weights=0.0):
    """Return the joint log-probability in nats of each row and each component, of which there may be one."""
    # x log p + (1 - x) log(1 - p), as one product with x: the rest does not depend on the row.
    log_zero = np.log1p(-means)
    return X @ (np.log(means) - log_zero).T + (log_weights + log_zero.sum(axis=-1))


def _e_step(X, components):
    """Return the log-likelihood of all rows, and the expected counts of rows and of ones for each component.

    It works in batches, so that the responsibilities of all rows are never in memory together.
    """
    log_likelihood, counts, ones = 0.0, np.zeros(len(components.means)), np.zeros_like(components.means)
    for batch in gen_batches(X.shape[0], BATCH_SIZE):
        rows = X[batch]
        log_joint = joint_log_prob(rows, components.means, components.log_weights)
        log_prob = logsumexp(log_joint, axis=1, keepdims=True)
        responsibilities = np.exp(log_joint - log_prob)
        log_likelihood += float(log_prob.sum())
        counts += responsibilities.sum(axis=0)
        ones += (rows.T @ responsibilities).T
    return log_likelihood, counts, ones
