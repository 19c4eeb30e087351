"""The user's table before and after imputation."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._adapters.sklearn_compat import is_pandas_na
from skwakesleep._adapters.tables import check_type, is_frame, objects


def without_value(X: Any, missing: Any) -> Any:
    """Return a table in which a value that stands for missing ones is replaced by NaN or None.

    Raises
    ------
    TypeError
        For a sparse matrix, and what is not a table.
    """
    check_type(X)
    if sparse.issparse(X):
        raise TypeError("Sparse data was passed to an imputer that needs dense data. Pass X.toarray() instead.")
    is_always_missing = missing is None or is_pandas_na(missing) or missing != missing
    if is_frame(X):
        return X if is_always_missing else _frame_without(X, missing)
    table = objects(X) if isinstance(X, Sequence) else np.asarray(X)
    if table.dtype.kind not in "OUS":
        return X if is_always_missing else np.where(table == missing, np.nan, table)

    def cell_without(cell: Any) -> Any:
        return None if is_pandas_na(cell) or (not is_always_missing and cell == missing) else cell

    with np.errstate(invalid="ignore"):  # some versions of Python set this flag when they compare NaN
        return np.frompyfunc(cell_without, 1, 1)(table.astype(object))


def _frame_without(X: Any, missing: Any) -> Any:
    if hasattr(X, "mask"):
        return X.mask(missing == X)
    polars = import_module("polars")
    equal = {name: [cell == missing for cell in X[name]] for name in X.columns}
    return X.with_columns(
        polars.when(~polars.Series(same)).then(polars.col(name)).alias(name) for name, same in equal.items()
    )


def with_values(table: Any, places: NDArray, values: NDArray) -> Any:
    """Return a table in which some columns are replaced by numbers."""
    if is_frame(table):
        return with_columns(table, [table.columns[place] for place in places], values)
    table = table.copy()
    table[:, places] = values
    return table


def with_columns(table: Any, names: Sequence[Any], values: NDArray) -> Any:
    """Return a table with more columns of numbers."""
    if not is_frame(table):
        return np.hstack([table, values.astype(table.dtype)])
    columns = {name: column.astype(float) for name, column in zip(names, values.T, strict=True)}
    if hasattr(table, "assign"):
        return table.assign(**columns)
    polars = import_module("polars")
    return table.with_columns(polars.Series(name, column) for name, column in columns.items())
