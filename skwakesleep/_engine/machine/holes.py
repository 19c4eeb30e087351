"""Missing values of a table, which are NaN."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def has_holes(table: NDArray | sparse.csr_array) -> bool:
    """Return whether there are missing values."""
    values = _entries(table)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities of both signs add up to NaN too
        total = values.sum()  # takes a fraction of the time of a search
    return bool(np.isnan(total) and np.isnan(values).any())


def columns_with_holes(table: NDArray | sparse.csr_array) -> NDArray:
    """Return the numbers of the columns with missing values."""
    if not has_holes(table):
        return np.zeros(0, np.intp)
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
    if not has_holes(table):
        return table
    table = table.copy()
    values = _entries(table)
    values[np.isnan(values)] = 0
    return table


def _entries(table: NDArray | sparse.csr_array) -> NDArray:
    return table if isinstance(table, np.ndarray) else table.data
