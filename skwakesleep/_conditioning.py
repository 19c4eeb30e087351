"""What a fitted Helmholtz machine says of some columns given the others."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.machine_tables import read_machine_table
from skwakesleep._adapters.parameters import check_column, check_levels, check_n_samples, entropy
from skwakesleep._adapters.tables import dense
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.conditioning import column_given_rest, column_scores, conditionals


class ConditioningMixin:
    """Missing columns given those observed, and single columns given the others.

    For an estimator that is also a `FittedMachineMixin`.
    """

    def impute(self, X):
        """Fill missing values with the best guess given the rest of their row.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data with missing values: NaN, None, or what the library of a data frame takes for them.

        Returns
        -------
        X_filled : ndarray or data frame of shape (n_samples, n_features)
            The data. Missing numbers are replaced by their mean, which minimizes the squared error, and missing
            categories by the most probable one.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Warns
        -----
        UserWarning
            If in most rows a single particle has most of the weight.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(200, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=20, tol=None, random_state=0).fit(X)
        >>> X[0, :2] = np.nan
        >>> np.isnan(machine.impute(X)).any()
        np.False_
        """
        values, effective_sizes = self._filled(X, lambda some: some.best()[np.newaxis])
        self._warn_of_few_particles(effective_sizes)
        return self._given_back(values[0], X)

    def impute_draws(self, X, n_draws=5, random_state=None):
        """Draw missing values from their distribution given the rest of their row.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data with missing values.

        n_draws : int, default=5
            Number of completed tables.

        random_state : int, RandomState instance or None, default=None
            Seed of the draws. With None, each call draws anew.

        Returns
        -------
        tables : list of ndarray or data frame of shape (n_samples, n_features)
            Completed tables, for multiple imputation.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        TypeError
            If `n_draws` is not an int.

        ValueError
            If `n_draws` is less than 1, and as `impute`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(200, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=20, tol=None, random_state=0).fit(X)
        >>> X[0, :2] = np.nan
        >>> len(machine.impute_draws(X, n_draws=3, random_state=0))
        3
        """
        check_is_fitted(self)
        n_draws = check_n_samples(n_draws, "n_draws")
        noise = FineNoise(np.random.default_rng(entropy(random_state)))
        values, effective_sizes = self._filled(X, lambda some: some.draw(n_draws, noise))
        self._warn_of_few_particles(effective_sizes)
        return [self._given_back(each, X) for each in values]

    def conditional(self, X, column, quantiles=None):
        """Compute the distribution of a column given the rest of each row.

        With labels among the columns of the table, the machine is a classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data. Values of the column are ignored; others may be missing.

        column : int or str
            The column, by its number or its name.

        quantiles : array-like of float, default=None
            Levels of quantiles of a numeric column, in (0, 1).

        Returns
        -------
        distribution : ndarray
            Probabilities of the categories in ``categories_[column]``, of shape (n_samples, n_categories); of zero and
            one for a column of kind "bernoulli". For another numeric column the mean, of shape (n_samples,), or with
            `quantiles` these, of shape (n_samples, n_quantiles).

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If there is no such column, or if quantiles of a column of categories are asked for.

        Warns
        -----
        UserWarning
            If in most rows a single particle has most of the weight.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(200, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=20, tol=None, random_state=0).fit(X)
        >>> machine.conditional(X[:3], 0).shape
        (3, 2)
        """
        check_is_fitted(self)
        number = check_column(self, column)
        is_numeric = self.visible_[number] in ("count", "continuous", "gaussian")
        levels = check_levels(quantiles, column, is_numeric=is_numeric)
        X = self._dense_rows(X)
        with self._limited_threads():
            given_rest = column_given_rest(
                *self._scoring(), X, number, default_backend(), levels or (), **self._effort()
            )
        self._warn_of_few_particles(given_rest.effective_sizes)
        if not is_numeric:
            return given_rest.probabilities
        return given_rest.best if levels is None else given_rest.quantiles

    def score_columns(self, X):
        """Compute the log-probability of each value given the rest of its row.

        Low values show which columns make a row improbable.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_features), float64
            ``log p(x_j | rest of the row)`` in nats, NaN where a value is missing. For real columns it is a log-density
            in the units of the data. The scores of a row do not add up to that of `score_samples`.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Warns
        -----
        UserWarning
            If in most rows a single particle has most of the weight.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(200, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=20, tol=None, random_state=0).fit(X)
        >>> machine.score_columns(X[:3]).shape
        (3, 16)
        """
        check_is_fitted(self)
        X = self._dense_rows(X)
        with self._limited_threads():
            scores, sizes = column_scores(*self._scoring(), X, default_backend(), **self._effort())
        self._warn_of_few_particles(sizes)
        return scores

    def _filled(self, X, fill):
        """Return values ``(n_tables, n_rows, n_columns)`` with missing ones filled, and effective sizes."""
        check_is_fitted(self)
        X = self._dense_rows(X)
        machine, parameters = self._scoring()
        backend = default_backend()
        rows = Rows(X, machine.columns, parameters.dtype, backend)
        parts, sizes = [], []
        with self._limited_threads():
            for some in conditionals(machine, parameters, rows, backend, **self._effort()):
                parts.append(fill(some))
                sizes.append(some.effective_sizes)
        return np.where(np.isnan(X), np.concatenate(parts, axis=1).astype(X.dtype), X), np.concatenate(sizes)

    def _dense_rows(self, X):
        return dense(read_machine_table(self, X, reset=False).values)

    def _scoring(self):
        """Return the machine and its parameters in double precision."""
        return self._fitted.machine, self._fitted.parameters.astype(np.float64)

    def _limited_threads(self):
        return limited_threads(self.n_score_particles * self._fitted.machine.largest_matrix)
