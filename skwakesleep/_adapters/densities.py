"""Any density: its dreams, as tables like those that it was fitted to, and its scores of held-out rows."""

from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_random_state, indexable

from skwakesleep._adapters.frames import columns_of, library_of
from skwakesleep._adapters.sklearn_compat import num_samples, safe_indexing
from skwakesleep._adapters.tables import dense, is_frame


def dreams_like(density: Any, X: Any, n_dreams: int, random_state: Any) -> Any:
    """Return rows sampled from a density, with the names of the columns of `X` and missing cells as in its rows.

    Each dream is paired with a row of `X` drawn at random. It has the missing cells of this row, and in a model with
    covariates those of this row.
    """
    rng = check_random_state(random_state)
    (table,) = indexable(X)
    rows = safe_indexing(table, rng.randint(num_samples(table), size=n_dreams))
    drawn = _with_names(_sampled(density, rows, n_dreams, rng), rows)
    missing = _missing_cells(rows)
    return _without_cells(drawn, missing) if missing.any() else drawn


def held_out_scores(density: Any, X: Any, cv: Any) -> NDArray:
    """Return the scores of the rows held out in each fold, under clones of the density fitted to the others."""
    from sklearn.model_selection import check_cv  # imports optional packages

    (table,) = indexable(X)
    parts = [
        clone(density).fit(safe_indexing(table, train)).score_samples(safe_indexing(table, held_out))
        for train, held_out in check_cv(cv).split(table)
    ]
    return np.concatenate(parts)


def seeded(estimator: Any, random_state: Any) -> Any:
    """Return an estimator whose parameters `random_state` that are None are set, also those of its parts."""
    if random_state is None:
        return estimator
    rng = check_random_state(random_state)
    unset = [
        name
        for name, value in sorted(estimator.get_params().items())
        if value is None and name.rpartition("__")[2] == "random_state"
    ]
    return estimator.set_params(**{name: rng.randint(2**31) for name in unset})


def _sampled(density: Any, rows: Any, n_dreams: int, rng: np.random.RandomState) -> Any:
    # Mixtures of scikit-learn are seeded by their own parameter, and return the component of each row as well.
    seed = {"random_state": rng} if "random_state" in signature(density.sample).parameters else {}
    has_covariates = getattr(getattr(density, "model", None), "n_covariates", 0) > 0
    drawn = density.sample(1, given=rows, **seed) if has_covariates else density.sample(n_dreams, **seed)
    return drawn[0] if isinstance(drawn, tuple) else drawn


def _with_names(drawn: Any, rows: Any) -> Any:
    """Return an array as a data frame if the rows are one: scikit-learn compares the names of columns."""
    if is_frame(drawn) or not is_frame(rows):
        return drawn
    columns = dict(zip(rows.columns, drawn.T, strict=True))
    return import_module(library_of(rows)).DataFrame(columns)


def _missing_cells(rows: Any) -> NDArray:
    """Return which cells of a table are missing."""
    table = dense(rows) if sparse.issparse(rows) else rows
    return np.stack([_is_missing(column.values) for column in columns_of(table)], axis=1)


def _is_missing(values: NDArray) -> NDArray:
    return np.array([cell is None for cell in values]) if values.dtype == object else np.isnan(values)


def _without_cells(drawn: Any, missing: NDArray) -> Any:
    """Return a table in which some cells are missing."""
    if not is_frame(drawn):
        return np.where(missing, np.nan, drawn)
    if library_of(drawn) != "polars":
        return drawn.mask(missing)
    polars = import_module("polars")
    present = zip(drawn.columns, ~missing.T, strict=True)
    return drawn.with_columns(
        polars.when(polars.Series(own)).then(polars.col(name)).alias(name) for name, own in present
    )
