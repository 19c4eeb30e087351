"""The rows of the user's table as units, a few at a time."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.columns import Columns

Table = NDArray | sparse.csr_array

# Share of nonzero entries up to which a product with a sparse matrix is faster than one with a dense matrix.
MAX_SPARSE_SHARE = 0.02


class Batch(NamedTuple):
    """Some rows as units.

    ``units (B, 1, N)`` are the targets of the generative network. ``root (B, 1, N)`` is the input of the recognition
    network: a sparse matrix ``(B, N)`` if its products are then faster.
    """

    units: NDArray
    root: NDArray

    @classmethod
    def dense(cls, units: NDArray) -> "Batch":
        """Return a batch of units ``(B, N)`` without a sparse matrix."""
        return cls(units[:, np.newaxis], units[:, np.newaxis])


class Rows:
    """Access to the rows of a dense or CSR table, as units.

    The table is never written to. A sparse one is made dense a mini-batch at a time.

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

    def take(self, indices: NDArray) -> Batch:
        """Return the rows at `indices`, in arrays that the next call overwrites."""
        indices = indices if self._subset is None else self._subset[indices]
        units = self._backend.empty("units", (len(indices), self._table.shape[1]), self.dtype)
        if not isinstance(self._table, np.ndarray):
            rows = self._table[indices].astype(self.dtype)
            rows.toarray(out=units)
            if self._columns.keeps_zeros and rows.nnz <= MAX_SPARSE_SHARE * units.size:
                return Batch(units[:, np.newaxis], cast(NDArray, rows))  # only its products are needed
        elif self._table.dtype == self.dtype:
            self._table.take(indices, axis=0, out=units, mode="clip")  # "raise" would buffer the output
        else:
            units[...] = self._table[indices]
        self._columns.encode(units)
        return Batch(units[:, np.newaxis], self._columns.bounded(units)[:, np.newaxis])

    def blocks(self, size: int) -> Iterator[tuple[slice, Batch]]:
        """Yield the rows in blocks of exactly `size`, the last one filled by repeating its last row.

        With a fixed shape, rounding in the linear algebra library does not depend on the number of rows.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            indices = np.minimum(np.arange(start, start + size), stop - 1)
            yield slice(start, stop), self.take(indices)
