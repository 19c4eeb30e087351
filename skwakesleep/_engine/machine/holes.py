"""Missing values of a table, which are NaN."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def columns_with_holes(table: NDArray | sparse.csr_array) -> NDArray:
    """Return the numbers of the columns with missing values."""
    if isinstance(table, np.ndarray):
        return np.flatnonzero(np.isnan(table).any(axis=0))
    return np.unique(table.indices[np.isnan(table.data)])


def observed_values(table: NDArray | sparse.csr_array, column: int) -> NDArray:
    """Return the values of a column that are not missing."""
    values = table[:, [column]]
    values = (values if isinstance(values, np.ndarray) else values.toarray()).ravel()
    return values[~np.isnan(values)]


def without_holes(table: NDArray | sparse.csr_array) -> NDArray | sparse.csr_array:
    """Return a table with zeros for missing values: the same one if there are none."""
    values = table if isinstance(table, np.ndarray) else table.data
    if not np.isnan(values).any():
        return table
    table = table.copy()
    values = table if isinstance(table, np.ndarray) else table.data
    values[np.isnan(values)] = 0
    return table
