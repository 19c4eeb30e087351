"""The user's table before and after imputation."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.sklearn_compat import is_pandas_na
from skwakesleep._adapters.tables import check_type, is_frame, objects


def without_value(X: Any, missing: Any) -> Any:
    """Return a table in which a value that stands for missing ones is replaced by NaN or None."""
    check_type(X)
    if missing is None or is_pandas_na(missing) or missing != missing:
        return X
    if not is_frame(X):
        table = objects(X) if isinstance(X, Sequence) else np.asarray(X)
        blank: Any = None if table.dtype == object else np.nan
        return np.where(table == missing, blank, table)
    if hasattr(X, "mask"):
        return X.mask(missing == X)
    polars = import_module("polars")
    equal = {name: [cell == missing for cell in X[name]] for name in X.columns}
    return X.with_columns(
        polars.when(~polars.Series(same)).then(polars.col(name)).alias(name) for name, same in equal.items()
    )


def with_columns(table: Any, names: list[str], values: NDArray) -> Any:
    """Return a table with more columns, of zeros and ones."""
    if not is_frame(table):
        return np.hstack([table, values.astype(table.dtype)])
    columns = {name: column.astype(float) for name, column in zip(names, values.T, strict=True)}
    if hasattr(table, "assign"):
        return table.assign(**columns)
    polars = import_module("polars")
    return table.with_columns(polars.Series(name, column) for name, column in columns.items())
