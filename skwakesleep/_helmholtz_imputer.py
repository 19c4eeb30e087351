"""Imputation of missing values by a Helmholtz machine, behind scikit-learn's interface of imputers."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.imputation import with_columns, with_values, without_value
from skwakesleep._adapters.machine_tables import read_machine_table
from skwakesleep._adapters.sklearn_compat import (
    DocumentationLinkMixin,
    HasMethods,
    check_feature_names_in,
    safe_indexing,
)
from skwakesleep._adapters.tables import dense
from skwakesleep._helmholtz_machine import HelmholtzMachine


class HelmholtzImputer(DocumentationLinkMixin, TransformerMixin, BaseEstimator):
    """Fill missing values with what a Helmholtz machine expects given the rest of the row.

    The machine is fitted to the table with its missing values, which it sums out: nothing is filled in first. Columns
    may be numbers, words and categories. Values are taken to be missing at random: how they came to be missing is not
    modeled.

    Parameters
    ----------
    estimator : HelmholtzMachine, default=None
        The machine to fit a clone of. None is one with the default parameters.

    missing_values : int, float, str, np.nan, None or pandas.NA, default=np.nan
        What stands for a missing value. NaN, None and `pandas.NA` are always missing.

    add_indicator : bool, default=False
        Whether to append a column of zeros and ones for each column that had missing values in `fit`.

    keep_empty_features : bool, default=False
        Whether to keep columns without any value in `fit`; zeros are then filled in.

    sample_posterior : bool, default=False
        Whether to fill in draws from the distribution given the rest of the row, instead of its mean or the most
        probable category. See `draw` for several of them.

    random_state : int, RandomState instance or None, default=None
        Seed of the default machine and of the draws.

    Attributes
    ----------
    estimator_ : HelmholtzMachine
        The fitted machine.

    n_features_in_ : int
        Number of columns in `fit`.

    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Names of these columns, if they have names.

    See Also
    --------
    HelmholtzMachine : The machine, whose `score_samples` takes missing values as well.
    sklearn.impute.IterativeImputer : Regresses each column on the others in turn.

    Notes
    -----
    With sparse data, and for the density of incomplete rows, use a machine itself.

    References
    ----------
    .. [1] D. B. Rubin. "Inference and missing data". Biometrika 63, 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzImputer, HelmholtzMachine
    >>> X = np.repeat([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], 60, axis=0)
    >>> X[0, 0] = X[100, 2] = np.nan
    >>> machine = HelmholtzMachine(2, max_iter=50, tol=None, random_state=0)
    >>> X_filled = HelmholtzImputer(machine).fit_transform(X)
    >>> X_filled[0, 0] < 0.1, X_filled[100, 2] > 0.9
    (np.True_, np.True_)
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "impute", "impute_draws"]), None],
        "missing_values": "no_validation",
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "sample_posterior": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        missing_values=np.nan,
        add_indicator=False,
        keep_empty_features=False,
        sample_posterior=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.sample_posterior = sample_posterior
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the machine to a table with missing values.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Data with missing values.

        y : None
            Ignored.

        Returns
        -------
        self : HelmholtzImputer
            The fitted imputer.

        Raises
        ------
        TypeError
            If `X` is sparse, and as `HelmholtzMachine.fit`.

        ValueError
            As `HelmholtzMachine.fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzImputer, HelmholtzMachine
        >>> X = np.random.default_rng(0).normal(size=(120, 2))
        >>> X[0, 0] = np.nan
        >>> machine = HelmholtzMachine(2, max_iter=5, tol=None, random_state=0)
        >>> imputer = HelmholtzImputer(machine).fit(X)
        >>> imputer.n_features_in_
        2
        """
        self._validate_params()
        X = without_value(X, self.missing_values)
        machine = self._machine().fit(X)
        missing = self._missing(machine, X)
        self.estimator_ = machine
        is_empty = missing.all(axis=0)
        self._kept = np.flatnonzero(self.keep_empty_features | ~is_empty)
        self._zeros = np.flatnonzero(self.keep_empty_features & is_empty)
        self._indicated = np.flatnonzero(missing.any(axis=0)) if self.add_indicator else np.zeros(0, int)
        return self

    def transform(self, X):
        """Fill missing values.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Data with missing values.

        Returns
        -------
        X_filled : ndarray or data frame of shape (n_samples, n_features_out)
            The data without missing values: a data frame with the dtypes of the one in `fit` if it held words, or if
            `set_output` asks for one.

        Raises
        ------
        NotFittedError
            If the imputer has not been fitted.

        ValueError
            If `X` has other columns than in `fit`, or values outside their domain.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzImputer, HelmholtzMachine
        >>> X = np.random.default_rng(0).normal(size=(120, 2))
        >>> X[0, 0] = np.nan
        >>> machine = HelmholtzMachine(2, max_iter=5, tol=None, random_state=0)
        >>> imputer = HelmholtzImputer(machine).fit(X)
        >>> np.isnan(imputer.transform(X)).any()
        np.False_
        """
        check_is_fitted(self)
        X = without_value(X, self.missing_values)
        if self.sample_posterior:
            return self._completed(X, self.draw(X, 1)[0])
        return self._completed(X, self.estimator_.impute(X))

    def draw(self, X, n_draws=5):
        """Draw missing values several times, for multiple imputation.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Data with missing values.

        n_draws : int, default=5
            Number of completed tables.

        Returns
        -------
        tables : list of ndarray or data frame of shape (n_samples, n_features)
            The data, with other draws from the distribution of the missing values in each table. Analyses of the
            tables differ by the uncertainty of the missing values [1]_.

        Raises
        ------
        NotFittedError
            If the imputer has not been fitted.

        ValueError
            If `n_draws` is less than 1, and as `transform`.

        References
        ----------
        .. [1] D. B. Rubin. "Multiple Imputation for Nonresponse in Surveys". Wiley, 1987.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzImputer, HelmholtzMachine
        >>> X = np.random.default_rng(0).normal(size=(120, 2))
        >>> X[0, 0] = np.nan
        >>> machine = HelmholtzMachine(2, max_iter=5, tol=None, random_state=0)
        >>> tables = HelmholtzImputer(machine, random_state=0).fit(X).draw(X, n_draws=3)
        >>> len({table[0, 0] for table in tables})
        3
        """
        check_is_fitted(self)
        X = without_value(X, self.missing_values)
        return self.estimator_.impute_draws(X, n_draws, random_state=self.random_state)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of `X`; those seen in `fit` by default.

        Returns
        -------
        names : ndarray of str
            The names, with those of the indicators last.

        Raises
        ------
        NotFittedError
            If the imputer has not been fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzImputer, HelmholtzMachine
        >>> X = np.random.default_rng(0).normal(size=(120, 2))
        >>> X[0, 0] = np.nan
        >>> machine = HelmholtzMachine(2, max_iter=5, tol=None, random_state=0)
        >>> imputer = HelmholtzImputer(machine, add_indicator=True).fit(X)
        >>> imputer.get_feature_names_out()
        array(['x0', 'x1', 'missingindicator_x0'], dtype=object)
        """
        check_is_fitted(self)
        names = check_feature_names_in(self, input_features)
        return np.concatenate([names[self._kept], self._indicator_names(names)]).astype(object)

    @property
    def n_features_in_(self):
        """Number of columns in `fit`."""
        return self._fitted_machine().n_features_in_

    @property
    def feature_names_in_(self):
        """Names of these columns, if they have names."""
        return self._fitted_machine().feature_names_in_

    def _fitted_machine(self):
        if "estimator_" not in vars(self):
            raise AttributeError("This HelmholtzImputer is not fitted yet.")
        return self.estimator_

    def _machine(self):
        return HelmholtzMachine(random_state=self.random_state) if self.estimator is None else clone(self.estimator)

    def _missing(self, machine, X):
        """Return which values are missing."""
        return np.isnan(self._values(machine, X))

    def _values(self, machine, X):
        return dense(read_machine_table(machine, X, reset=False).values)

    def _completed(self, X, table):
        """Return a filled table without the columns to drop, with zeros in empty ones, and with indicators."""
        if self._zeros.size:
            table = with_values(table, self._zeros, np.nan_to_num(self._values(self.estimator_, X)[:, self._zeros]))
        table = safe_indexing(table, self._kept, axis=1)
        if not self._indicated.size:
            return table
        names = self._indicator_names(check_feature_names_in(self, None))
        return with_columns(table, names, self._missing(self.estimator_, X)[:, self._indicated])

    def _indicator_names(self, names):
        return [f"missingindicator_{name}" for name in names[self._indicated]]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
