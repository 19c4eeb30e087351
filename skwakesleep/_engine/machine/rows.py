"""The rows of the user's table as units, a few at a time."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.holes import has_holes

Table = NDArray | sparse.csr_array

# Share of nonzero entries up to which a product with a sparse matrix is faster than one with a dense matrix.
MAX_SPARSE_SHARE = 0.02
# Largest number of units of a table that are kept: 128 MB in double precision.
MAX_ENCODED = 2**24


class Visible(NamedTuple):
    """Some rows as units.

    Attributes
    ----------
    units : ndarray of shape (B, 1, N)
        Targets of the generative network, zero where missing.
    root : ndarray of shape (B, 1, M) or sparse matrix of shape (B, N)
        Input of the recognition network, see `Columns.root`; a sparse matrix if its products are then faster.
    missing : ndarray of bool, of shape (B, 1, N), or None
        Which units are missing; None if none is.
    log_base : ndarray of shape (B,) or None
        What the values add to the log-probability, see `Columns.log_base`.
    """

    units: NDArray
    root: NDArray
    missing: NDArray | None = None
    log_base: NDArray | None = None

    @classmethod
    def dense(cls, units: NDArray) -> "Visible":
        """Return units ``(B, N)`` that are all observed."""
        return cls(units[:, np.newaxis], units[:, np.newaxis])

    def rows(self, some: slice | NDArray) -> "Visible":
        """Return some of the rows."""
        units, root, missing, log_base = (None if part is None else part[some] for part in self)
        if missing is not None and not missing.any():
            missing = None
        return Visible(units, root, missing, log_base)  # type: ignore[arg-type]


class Rows:
    """Access to the rows of a dense or CSR table, as units.

    The table is never written to. A sparse one is made dense a mini-batch at a time. Missing values are NaN.

    Parameters
    ----------
    table : ndarray or sparse matrix of shape (n_rows, n_columns)
        The user's data.
    columns : Columns
        Translates columns into units.
    dtype : dtype
        Of the units.
    backend : NumpyBackend
        Provides scratch arrays.
    subset : ndarray of int, optional
        The rows of the table to use; all of them by default.
    """

    def __init__(
        self, table: Table, columns: Columns, dtype: DTypeLike, backend: NumpyBackend, subset: NDArray | None = None
    ) -> None:
        self._table = table
        self._columns = columns
        self.dtype = dtype
        self._backend = backend.new()
        self._subset = subset

    def __len__(self) -> int:
        return self._table.shape[0] if self._subset is None else len(self._subset)

    def take(self, indices: NDArray) -> Visible:
        """Return the rows at `indices`, in arrays that the next call overwrites."""
        indices = indices if self._subset is None else self._subset[indices]
        if self._keeps_units:
            return self._whole.rows(indices)
        if not isinstance(self._table, np.ndarray):
            return self._encoded(self._table[indices])
        rows = self._backend.empty("rows", (len(indices), self._table.shape[1]), self._table.dtype)
        return self._encoded(self._table.take(indices, axis=0, out=rows, mode="clip"))  # "raise" would buffer

    @cached_property
    def _keeps_units(self) -> bool:
        """Whether all rows are encoded at once: unless they take too much memory, or hardly any time."""
        if self._table.shape[0] * self._columns.n_units > MAX_ENCODED:
            return False
        is_quick = sparse.issparse(self._table) or self._table.dtype == self.dtype
        return not (self._columns.are_units and is_quick)

    @cached_property
    def _has_holes(self) -> bool:
        return has_holes(self._table)

    @cached_property
    def _whole(self) -> Visible:
        """All rows of the table: finding the cells of values takes longer than a step's products with their units."""
        return self._encoded(self._table)

    def _encoded(self, rows: Table) -> Visible:
        """Return rows of the table as units, which may be in the same array."""
        columns = self._columns
        values = self._values(rows)
        absent = np.isnan(values) if self._has_holes else None
        missing = columns.of_units(absent)[:, np.newaxis] if absent is not None and absent.any() else None
        log_base = columns.log_base(values, None if missing is None else absent)
        units = columns.encode(values, self.dtype)
        if missing is not None:
            units[missing[:, 0]] = 0
        elif not isinstance(rows, np.ndarray) and columns.keeps_zeros and rows.nnz <= MAX_SPARSE_SHARE * units.size:
            return Visible(units[:, np.newaxis], cast(NDArray, rows.astype(self.dtype)))  # for products alone
        root = columns.root(columns.bounded(units)[:, np.newaxis], missing)
        return Visible(units[:, np.newaxis], root, missing, log_base)

    def _values(self, rows: Table) -> NDArray:
        """Return rows as a dense array, in the wider of two dtypes: units may be small differences of large values."""
        dtype = np.result_type(rows.dtype, self.dtype)
        if isinstance(rows, np.ndarray):
            return rows.astype(dtype, copy=False)
        return rows.astype(dtype).toarray(out=self._backend.empty("values", rows.shape, dtype))

    def blocks(self, size: int) -> Iterator[tuple[slice, Visible]]:
        """Yield the rows in blocks of exactly `size`, the last one filled by repeating its last row.

        With a fixed shape, rounding in the linear algebra library does not depend on the number of rows.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            indices = np.minimum(np.arange(start, start + size), stop - 1)
            yield slice(start, stop), self.take(indices)
