"""Base class of the reference densities."""

from abc import ABCMeta, abstractmethod
from copy import copy
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.preprocessing import binarize
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters import kinds
from skwakesleep._adapters.parameters import check_n_samples, entropy
from skwakesleep._adapters.persistence import VersionedPickleMixin
from skwakesleep._adapters.sklearn_compat import DocumentationLinkMixin, Interval
from skwakesleep._adapters.tables import check_table, dense
from skwakesleep._engine.machine.rows import Table

# Number of rows computed at a time: scratch arrays of this size fit into the cache of a core.
BATCH_SIZE = 1024
# Smallest probability: with the machine epsilon, log(p) and log(1 - p) are both finite.
MIN_PROBABILITY = np.finfo(np.float64).eps
OUT_OF_RANGE_MESSAGE = (
    "X must have values in [0, 1] (fractions are probabilities), but {}. Rescale X, or set binarize to the threshold "
    "above which an entry is a one."
)


class Density(DocumentationLinkMixin, VersionedPickleMixin, DensityMixin, BaseEstimator, metaclass=ABCMeta):
    """Base class of densities with an exact likelihood."""

    @abstractmethod
    def _check_X(self, X: Any, *, reset: bool) -> tuple[Table, dict[str, Any]]:
        """Return the values in float64, and the fitted attributes that describe the columns."""

    @abstractmethod
    def _log_prob(self, X: NDArray) -> NDArray:
        """Return the log-likelihood of each row in nats."""

    @abstractmethod
    def _draw(self, n_samples: int, generator: np.random.Generator) -> Any:
        """Return rows as `sample` gives them back."""

    def score_samples(self, X):
        """Compute the exact log-likelihood of each row; for fractions, the cross-entropy.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,), float64
            Log-likelihood of each row, in nats.

        Raises
        ------
        NotFittedError
            If the density has not been fitted.

        ValueError
            If `X` has other columns than the training data, or a value is outside the domain of its column.

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import IndependentBernoulli
        >>> X, _ = make_bars(100, random_state=0)
        >>> density = IndependentBernoulli().fit(X)
        >>> density.score_samples(X[:3]).shape
        (3,)
        """
        check_is_fitted(self)
        density = copy(self)  # another thread may refit the density meanwhile
        X, _ = density._check_X(X, reset=False)
        return np.concatenate([density._log_prob(dense(X[batch])) for batch in gen_batches(X.shape[0], BATCH_SIZE)])

    def score(self, X, y=None):
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log-likelihood per row, in nats.

        Raises
        ------
        NotFittedError
            If the density has not been fitted.

        ValueError
            If `X` has other columns than the training data, or a value is outside the domain of its column.

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import IndependentBernoulli
        >>> X, _ = make_bars(100, random_state=0)
        >>> density = IndependentBernoulli().fit(X)
        >>> density.score(X) > -11.1  # nats per row; fair coins score -11.1
        True
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples=1, random_state=None):
        """Draw independent samples.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw. With None, each call draws other rows.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            The rows: a data frame like that in `fit` if it held words, otherwise an array of float64.

        Raises
        ------
        NotFittedError
            If the density has not been fitted.

        TypeError
            If `n_samples` is not an int.

        ValueError
            If `n_samples` is less than 1.

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import IndependentBernoulli
        >>> X, _ = make_bars(100, random_state=0)
        >>> density = IndependentBernoulli().fit(X)
        >>> density.sample(3, random_state=0).shape
        (3, 16)
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        generator = np.random.default_rng(entropy(random_state))
        return copy(self)._draw(n_samples, generator)


class BinaryDensity(Density):
    """Base class of densities of binary rows.

    A subclass implements `_fitted_attributes`, `_log_prob` and `_draw`.
    """

    _parameter_constraints: dict = {
        "smoothing": [Interval(Real, 0, None, closed="neither")],
        "binarize": [Interval(Real, None, None, closed="neither"), None],
    }

    def __init__(self, *, smoothing=1.0, binarize=None):
        self.smoothing = smoothing
        self.binarize = binarize

    @abstractmethod
    def _fitted_attributes(self, X: Table) -> dict[str, Any]:
        """Return the fitted attributes, from values in [0, 1]."""

    def fit(self, X, y=None):
        """Fit the density to the rows of `X`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : None
            Ignored.

        Returns
        -------
        self : estimator
            The fitted density.

        Raises
        ------
        ValueError
            If a parameter or `X` is invalid. With ``binarize=None``, values of `X` must be in [0, 1].

        Examples
        --------
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.reference import IndependentBernoulli
        >>> X, _ = make_bars(100, random_state=0)
        >>> density = IndependentBernoulli().fit(X)
        >>> density.n_features_in_
        16
        """
        self._validate_params()
        X, header = self._check_X(X, reset=True)
        self._adopt({**header, **self._fitted_attributes(X)})
        return self

    def _check_X(self, X, *, reset):
        """Return values in [0, 1] in float64, and the fitted attributes that describe the columns."""
        X, header = check_table(self, X, reset=reset)
        if self.binarize is None:
            X = kinds.clipped(X, kinds.UNIT_INTERVAL, header.get("feature_names_in_"), OUT_OF_RANGE_MESSAGE)
        else:
            X = binarize(X, threshold=self.binarize)
        return X.astype(np.float64, copy=False), header

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.binarize is None
        return tags


def column_sums(X: Table) -> NDArray:
    """Return the sum of each column: its number of ones."""
    return np.asarray(X.sum(axis=0), dtype=np.float64).ravel()


def smoothed_means(X: Table, smoothing: float) -> NDArray:
    """Return the mean of each column, with `smoothing` rows of the value 0.5 added."""
    return probabilities((column_sums(X) + 0.5 * smoothing) / (X.shape[0] + smoothing))


def probabilities(values: NDArray) -> NDArray:
    """Return probabilities clipped such that ``log(p)`` and ``log(1 - p)`` are finite even with little smoothing."""
    return np.clip(values, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
