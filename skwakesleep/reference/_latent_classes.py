"""Independent columns of any kind, and mixtures of them, for tables with missing values."""

import warnings
from collections.abc import Iterator, Mapping
from itertools import pairwise
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp, xlogy
from sklearn.utils import gen_batches

from skwakesleep._adapters.frames import NOMINAL
from skwakesleep._adapters.kinds import NON_NEGATIVE, named_kinds
from skwakesleep._adapters.machine_tables import read_machine_table
from skwakesleep._adapters.sklearn_compat import Interval, StrOptions, output_library
from skwakesleep._adapters.tables import dense
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.cell_codecs import PSEUDO_COUNT, CellCodec
from skwakesleep._engine.machine.codecs import Standardization
from skwakesleep._engine.machine.columns import KINDS, Columns, Run
from skwakesleep._engine.machine.rows import Table
from skwakesleep.reference._base import BATCH_SIZE, MIN_PROBABILITY, Density
from skwakesleep.reference._expectation_maximization import MIXTURE_CONSTRAINTS, convergence_notices, maximized

LOG_2PI = float(np.log(2 * np.pi))


class IndependentColumns(Density):
    """Independent columns of any kind: the baseline without any dependence.

    Each column has the distribution with which an untrained :class:`~skwakesleep.HelmholtzMachine` begins: the shares
    of its categories, or of intervals that hold about equally many rows. Zeros and ones are counted in the same way;
    Gaussian columns have the mean and the variance of the data. Missing values are left out.

    Parameters
    ----------
    visible : {"auto"} or kind, array-like of kinds, or mapping of kinds to columns, default="auto"
        Kinds of the columns, as in :class:`~skwakesleep.HelmholtzMachine`.

    handle_unknown : {"error", "missing"}, default="error"
        Whether a category that was not seen in `fit` is an error or a missing value.

    Attributes
    ----------
    weights_ : ndarray of shape (1,)
        The number one: these are the classes of a :class:`LatentClasses` of one component.

    visible_ : ndarray of str of shape (n_features,)
        Kinds of the columns.

    categories_ : list
        For each column the categories in `fit`, an array; None for columns of other kinds.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    LatentClasses : The columns are independent given the component.
    IndependentBernoulli : The same for binary columns without missing values.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import IndependentColumns
    >>> coins = np.array([["heads", 1], ["tails", 1], ["heads", 0], ["tails", None]], dtype=object)
    >>> density = IndependentColumns(visible=["categorical", "bernoulli"]).fit(coins)
    >>> np.exp(density.score_samples(coins)).round(4)
    array([0.3125, 0.3125, 0.1875, 0.5   ])
    """

    _parameter_constraints: dict = {
        "visible": [StrOptions({"auto", *KINDS}), "array-like", Mapping],
        "handle_unknown": [StrOptions({"error", "missing"})],
    }

    def __init__(self, *, visible="auto", handle_unknown="error"):
        self.visible = visible
        self.handle_unknown = handle_unknown

    def fit(self, X, y=None):
        """Fit the density to the rows of `X`.

        Parameters
        ----------
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            Training data. Missing values are NaN, None or `pandas.NA`.

        y : None
            Ignored.

        Returns
        -------
        self : estimator
            The fitted density.

        Raises
        ------
        ValueError
            If a parameter or `X` is invalid.

        TypeError
            If a column holds neither numbers nor words.

        Warns
        -----
        UserWarning
            If a column has no value, or "auto" may have mistaken what an array holds.

        ConvergenceWarning
            If the best initialization of a mixture did not converge within `max_iter` iterations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.reference import IndependentColumns
        >>> X = np.array([[0, 3.0], [1, np.nan], [1, 5.0]])
        >>> IndependentColumns(visible=["bernoulli", "count"]).fit(X).n_features_in_
        2
        """
        self._validate_params()
        table = read_machine_table(self, X, reset=True)
        layout = Layout(table.columns())
        classes, attributes = self._fitted_classes(table.values.astype(np.float64, copy=False), layout)
        learned = {
            "weights_": np.exp(classes.log_weights),
            "_columns": layout.columns,
            "_cells": classes.cells,
            "_means": classes.means,
            "_variances": classes.variances,
        }
        self._adopt({**table.attributes, **learned, **attributes})
        for notice in [*table.notices, *self._notices()]:
            warnings.warn(notice, stacklevel=2)
        return self

    @property
    def probabilities_(self):
        """Probabilities of the cells of each column, a list.

        Of each column, an array of shape (n_components, n_cells): the probabilities of its categories, of zero and
        one, or of its intervals. None for Gaussian columns.
        """
        layout, columns = Layout(self._columns), [None] * self._columns.n_columns
        for run, cells in layout.by_run(self._cells):
            for number, column in enumerate(run.columns):
                columns[column] = cells[:, number, cells[0, number] > 0]
        return columns

    def _fitted_classes(self, X: Table, layout: "Layout") -> tuple["Classes", dict[str, Any]]:
        """Return the classes and fitted attributes that describe the fit."""
        return independent(layout, list(layout.batches(X))), {}

    def _notices(self) -> list[Warning]:
        return []

    def _classes(self) -> "Classes":
        return Classes(np.log(self.weights_), self._cells, self._means, self._variances)

    def _check_X(self, X, *, reset):
        table = read_machine_table(self, X, reset=reset)
        return table.values.astype(np.float64, copy=False), table.attributes

    def _log_prob(self, X):
        return logsumexp(log_joint(Layout(self._columns).rows(X), self._classes()), axis=1)

    def _draw(self, n_samples, generator):
        values = Layout(self._columns).draw(n_samples, self._classes(), generator)
        return self._format.table(values, self.categories_, output_library(self))

    _LEARNED = ("_columns", "_cells", "_means", "_variances", "weights_", "visible_", "n_features_in_")

    def _check_learned(self):
        if not isinstance(self._columns, Columns) or self._columns.n_columns != self.n_features_in_:
            raise ValueError(f"_columns is not of n_features_in_={self.n_features_in_} columns")
        self._columns.check()
        layout, classes = Layout(self._columns), self._classes()
        n_normal = 0 if layout.normal is None else len(layout.normal.columns)
        shapes = [(), (layout.starts[-1],), (n_normal,), (n_normal,)]
        if any(part.shape != (len(self.weights_), *shape) for part, shape in zip(classes, shapes, strict=True)):
            raise ValueError("the parameters of the classes are not of the shapes of the columns")
        if not (np.isfinite(np.concatenate([part.ravel() for part in classes])).all() and (self._cells >= 0).all()):
            raise ValueError("the parameters of the classes are not finite")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        named = set(named_kinds(self.visible))
        tags.input_tags.sparse = named.isdisjoint(NOMINAL)
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = not NON_NEGATIVE.isdisjoint(named)
        return tags


class LatentClasses(IndependentColumns):
    """Mixture of independent columns of any kind (latent classes), fitted by expectation maximization.

    A row belongs to one of several classes [1]_, and its columns are independent given the class. The columns are those
    of :class:`IndependentColumns`; each class has its own probabilities, means and variances. Missing values are left
    out of all sums: they are taken to be missing at random.

    Parameters
    ----------
    n_components : int, default=10
        Number of classes.

    visible : {"auto"} or kind, array-like of kinds, or mapping of kinds to columns, default="auto"
        Kinds of the columns, as in :class:`~skwakesleep.HelmholtzMachine`.

    handle_unknown : {"error", "missing"}, default="error"
        Whether a category that was not seen in `fit` is an error or a missing value.

    n_init : int, default=1
        Number of initializations. The best result is kept.

    max_iter : int, default=100
        Maximum number of iterations per initialization.

    tol : float, default=1e-3
        Iterations stop when the objective rises by less than this, in nats per row.

    smoothing : float, default=1.0
        Number of pseudo-rows added to each class, in (0, inf). Their columns are distributed as in all data. The
        weights are smoothed by the same number in total.

    random_state : int, RandomState instance or None, default=None
        Seed of the choice of the rows that initialize the classes.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Probability of each class.

    lower_bound_ : float
        Objective of the best initialization, in nats per row: mean log-likelihood plus log-density of the pseudo-rows.

    lower_bounds_ : list of float
        Objective in each iteration of the best initialization.

    converged_ : bool
        Whether the best initialization stopped because of `tol`.

    n_iter_ : int
        Number of iterations of the best initialization.

    visible_ : ndarray of str of shape (n_features,)
        Kinds of the columns.

    categories_ : list
        For each column the categories in `fit`, an array; None for columns of other kinds.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    BernoulliMixture : The same for binary columns without missing values.
    sklearn.mixture.GaussianMixture : The same, and correlated columns, for real columns without missing values.

    References
    ----------
    .. [1] P. F. Lazarsfeld, N. W. Henry. "Latent structure analysis". Houghton Mifflin, 1968.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import LatentClasses
    >>> X = np.repeat([["a", "x"], ["b", "y"], ["b", None]], 50, axis=0)
    >>> mixture = LatentClasses(2, visible="categorical", random_state=0).fit(X)
    >>> np.sort(mixture.weights_).round(1)
    array([0.3, 0.7])
    """

    _parameter_constraints: dict = {
        **IndependentColumns._parameter_constraints,
        **MIXTURE_CONSTRAINTS,
        "smoothing": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_components=10,
        *,
        visible="auto",
        handle_unknown="error",
        n_init=1,
        max_iter=100,
        tol=1e-3,
        smoothing=1.0,
        random_state=None,
    ):
        super().__init__(visible=visible, handle_unknown=handle_unknown)
        self.n_components = n_components
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.smoothing = smoothing
        self.random_state = random_state

    def _fitted_classes(self, X, layout):
        batches = list(layout.batches(X))
        prior = independent(layout, batches)
        smoothing = max(self.smoothing, MIN_PROBABILITY)  # so that no probability is rounded to zero

        def start(generator):
            # Halfway between a random row and all rows: a row alone would be a fixed point. Different shares of the
            # other chosen rows, because classes made from two equal rows would stay equal.
            chosen = generator.choice(X.shape[0], self.n_components, replace=self.n_components > X.shape[0])
            rows = layout.rows(dense(X[np.sort(chosen)]))
            shares = np.eye(self.n_components) + generator.random((self.n_components,) * 2) / self.n_components
            sums = Sums.of_rows(rows, shares, prior.means)
            return maximizing(layout, sums, prior, prior.means, 1.0)

        def iterate(classes):
            log_likelihood, sums = _e_step(batches, classes)
            objective = (log_likelihood + smoothing * log_pseudo_row(prior, classes)) / X.shape[0]
            return objective, maximizing(layout, sums, prior, classes.means, smoothing)

        return maximized(self, start, iterate)

    def _notices(self):
        return convergence_notices(self)


class Classes(NamedTuple):
    """Log-weights ``(K,)``, probabilities of cells ``(K, G)``, means and variances of normal columns ``(K, D)``."""

    log_weights: NDArray
    cells: NDArray
    means: NDArray
    variances: NDArray


class Rows(NamedTuple):
    """Rows of a table: what of them the classes see.

    Attributes
    ----------
    cells : csr_array of shape (n_rows, n_cells)
        One in the cell of each value, nothing for missing ones; for fractions, the probabilities of zero and one.
    units : ndarray of shape (n_rows, n_normal)
        Standardized values of normal columns, zero where missing.
    observed : ndarray of shape (n_rows, n_normal)
        One where they are not missing, else zero.
    log_base : ndarray of shape (n_rows,)
        What the values add to the log-density whatever the class, in nats.
    """

    cells: sparse.csr_array
    units: NDArray
    observed: NDArray
    log_base: NDArray


class Sums(NamedTuple):
    """Sums over rows, weighted by the responsibilities of each class.

    Of the rows ``(K,)``, of the values in each cell ``(K, G)``, and of the number of values, the deviations from given
    means and their squares in each normal column ``(K, D)``.
    """

    rows: NDArray
    cells: NDArray
    observed: NDArray
    deviations: NDArray
    squares: NDArray

    @classmethod
    def of_rows(cls, rows: Rows, responsibilities: NDArray, means: NDArray) -> "Sums":
        """Return the sums of a batch, with responsibilities ``(B, K)`` and deviations from means ``(K, D)``."""
        by_class = np.broadcast_to(means, (responsibilities.shape[1], means.shape[1]))
        deviations, squares = np.empty((2, *by_class.shape))
        for number, (weights, mean) in enumerate(zip(responsibilities.T, by_class, strict=True)):
            own = (rows.units - mean) * rows.observed
            deviations[number], squares[number] = weights @ own, weights @ np.square(own)
        cells = (rows.cells.T @ responsibilities).T
        return cls(responsibilities.sum(axis=0), cells, responsibilities.T @ rows.observed, deviations, squares)

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums over the rows of both."""
        return Sums(*(own + more for own, more in zip(self, other, strict=True)))


class Layout:
    """The cells of all columns, side by side, and the normal columns.

    Parameters
    ----------
    columns : Columns
        The columns of a machine. Each column of a run has as many cells as the one with the most; the probability of
        those that it does not have is zero. Zero and one are the cells of binary columns.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.runs = [run for run in columns.runs if run.codec.n_states]
        self.normal = next((run for run in columns.runs if not run.codec.n_states), None)
        sizes = [run.codec.n_states for run in self.runs for _ in run.columns]
        self.starts = np.cumsum([0, *sizes])

    def by_run(self, cells: NDArray) -> Iterator[tuple[Run, NDArray]]:
        """Yield each run of columns with cells, and its part ``(K, n_columns, n_cells)`` of an array ``(K, G)``."""
        stops = np.cumsum([0, *(len(run.columns) * run.codec.n_states for run in self.runs)])
        for run, (start, stop) in zip(self.runs, pairwise(stops), strict=True):
            yield run, cells[:, start:stop].reshape(len(cells), len(run.columns), run.codec.n_states)

    def batches(self, X: Table) -> Iterator[Rows]:
        """Yield the rows of a table, in batches whose scratch arrays fit into the cache."""
        for batch in gen_batches(X.shape[0], BATCH_SIZE):
            yield self.rows(dense(X[batch]))

    def rows(self, X: NDArray) -> Rows:
        """Return rows with the cells of their values."""
        parts, log_base = [np.zeros((len(X), 0))], np.zeros(len(X))
        for run in self.runs:
            own = X[:, run.columns]
            missing = np.isnan(own)
            if isinstance(run.codec, CellCodec):
                cells = run.codec.cells(own)
                log_base += np.where(missing, 0, run.codec.log_density(own, cells)).sum(axis=1)
                indicators = (cells[..., np.newaxis] == np.arange(run.codec.n_states)) & ~missing[..., np.newaxis]
            else:
                indicators = np.where(missing[..., np.newaxis], 0, np.stack([1 - own, own], axis=-1))
            parts.append(indicators.reshape(len(X), -1))
        units = np.zeros((len(X), 0))
        if self.normal is not None:
            units = np.empty((len(X), len(self.normal.columns)))
            self.normal.codec.encode(X[:, self.normal.columns], units)
            log_base -= ~np.isnan(units) @ self.normal.codec.log_volume
        observed = (~np.isnan(units)).astype(np.float64)
        return Rows(sparse.csr_array(np.hstack(parts, dtype=np.float64)), np.nan_to_num(units), observed, log_base)

    @property
    def smallest_variance(self) -> NDArray | float:
        """Lower bound of the variance of each normal column."""
        codec = None if self.normal is None else self.normal.codec
        return codec.smallest_variance if isinstance(codec, Standardization) else 0.0

    def normalized(self, cells: NDArray) -> NDArray:
        """Return numbers of rows in cells as shares of their columns, ``(K, G)``."""
        totals = np.add.reduceat(cells, self.starts[:-1], axis=1) if self.runs else cells
        return cells / np.repeat(totals, np.diff(self.starts), axis=1)

    def draw(self, n_rows: int, classes: Classes, generator: np.random.Generator) -> NDArray:
        """Return drawn rows."""
        weights = np.exp(classes.log_weights)
        component = generator.choice(len(weights), n_rows, p=weights / weights.sum())
        X, noise = np.empty((n_rows, self.columns.n_columns)), FineNoise(generator)
        for run, shares in self.by_run(classes.cells):
            cumulative = np.cumsum(shares, axis=-1)
            cumulative /= cumulative[..., -1:]
            cells = np.empty((n_rows, len(run.columns)), np.intp)
            for number, uniforms in enumerate(generator.random(cells.T.shape)):
                cells[:, number] = (cumulative[component, number] <= uniforms[:, np.newaxis]).sum(axis=1)
            X[:, run.columns] = run.codec.values(cells, noise) if isinstance(run.codec, CellCodec) else cells
        if self.normal is not None:
            units = generator.normal(classes.means[component], np.sqrt(classes.variances[component]))
            X[:, self.normal.columns] = self.normal.codec.decode(units, noise)
        return X


def independent(layout: Layout, batches: list[Rows]) -> Classes:
    """Return the one class of independent columns."""
    n_normal = batches[0].units.shape[1]
    sums = _total(Sums.of_rows(rows, np.ones((rows.cells.shape[0], 1)), np.zeros((1, n_normal))) for rows in batches)
    cells = layout.normalized(sums.cells + PSEUDO_COUNT)
    for run, own in layout.by_run(cells):  # views
        if isinstance(run.codec, CellCodec):
            own[...] = run.codec.probabilities
    n_values = np.maximum(sums.observed, 1)
    means = sums.deviations / n_values
    variances = np.maximum(sums.squares / n_values - np.square(means), layout.smallest_variance)
    return Classes(np.zeros(1), cells, means, variances)


def log_joint(rows: Rows, classes: Classes) -> NDArray:
    """Return the joint log-density of each row and each class, ``(B, K)``, in nats."""
    with np.errstate(divide="ignore"):  # of cells that a column does not have, and so no row
        joint = rows.cells @ np.log(classes.cells).T
    joint += classes.log_weights + rows.log_base[:, np.newaxis]
    # Differences first: the difference of the squares would be lost in rounding errors.
    joint -= rows.observed @ (np.log(classes.variances) + LOG_2PI).T / 2
    for own, mean, variance in zip(joint.T, classes.means, classes.variances, strict=True):
        own -= np.square((rows.units - mean) * rows.observed) @ (0.5 / variance)
    return joint


def _e_step(batches: list[Rows], classes: Classes) -> tuple[float, Sums]:
    """Return the log-likelihood of all rows, and the sums with responsibilities."""
    log_likelihood, parts = 0.0, []
    for rows in batches:
        joint = log_joint(rows, classes)
        log_prob = logsumexp(joint, axis=1, keepdims=True)
        log_likelihood += float(log_prob.sum())
        parts.append(Sums.of_rows(rows, np.exp(joint - log_prob), classes.means))
    return log_likelihood, _total(parts)


def _total(parts: Any) -> Sums:
    first, *rest = parts
    for part in rest:
        first = first.plus(part)
    return first


def maximizing(layout: Layout, sums: Sums, prior: Classes, means: NDArray, smoothing: float) -> Classes:
    """Return the classes that maximize the expected objective, given sums of deviations from `means`."""
    # The pseudo-rows are conjugate priors: Dirichlet for weights and cells, normal and inverse gamma for the others.
    weights = (sums.rows + smoothing / len(sums.rows)) / (sums.rows.sum() + smoothing)
    cells = layout.normalized(sums.cells + smoothing * prior.cells)
    n_values = sums.observed + smoothing
    shift = prior.means - means
    deviations = (sums.deviations + smoothing * shift) / n_values
    squares = (sums.squares + smoothing * (prior.variances + np.square(shift))) / n_values
    variances = np.maximum(squares - np.square(deviations), layout.smallest_variance)
    return Classes(np.log(weights), cells, means + deviations, variances)


def log_pseudo_row(prior: Classes, classes: Classes) -> float:
    """Return the log-density of one pseudo-row of each class, and of its share of the weights."""
    squares = (prior.variances + np.square(classes.means - prior.means)) / classes.variances
    normal = (squares + np.log(classes.variances) + LOG_2PI).sum() / 2
    return float(xlogy(prior.cells, classes.cells).sum() - normal + classes.log_weights.mean())
