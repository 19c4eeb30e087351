"""The user's table as the engine reads it: a few encoded rows at a time."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Family

Table = NDArray | sparse.csr_array

# Fraction of nonzero entries up to which a product with a sparse matrix is the faster one.
SPARSE = 0.02


class Batch(NamedTuple):
    """Some encoded rows.

    ``units (B, D)`` is what the generative network is to produce. ``root (B, D)`` is the same for the recognition
    network to start from, left sparse where its product with the weights is then faster.
    """

    units: NDArray
    root: NDArray

    @classmethod
    def dense(cls, units: NDArray) -> "Batch":
        """Return a batch of which nothing is sparse."""
        return cls(units, units)


class Rows:
    """Row access to a dense or CSR table, encoded by the visible family.

    The table itself is never written to, and a sparse one is made dense a mini-batch at a time.

    Parameters
    ----------
    table : ndarray or sparse matrix of shape (n_rows, n_features)
        The user's data.
    family : Family
        The visible family, whose units the rows are translated to.
    dtype : dtype
        What the rows are computed in.
    subset : ndarray of int, optional
        Which rows of the table these are; all of them by default.
    """

    def __init__(self, table: Table, family: Family, dtype: DTypeLike, subset: NDArray | None = None) -> None:
        self._table = table
        self._family = family
        self.dtype = dtype
        self._subset = subset
        self._workspace = Workspace()

    def __len__(self) -> int:
        return self._table.shape[0] if self._subset is None else len(self._subset)

    def take(self, indices: NDArray) -> Batch:
        """Return the encoded rows at `indices`, in arrays that are overwritten by the next call."""
        indices = indices if self._subset is None else self._subset[indices]
        units = self._workspace.array("units", (len(indices), self._table.shape[1]), self.dtype)
        if not isinstance(self._table, np.ndarray):
            rows = self._table[indices].astype(self.dtype)
            rows.toarray(out=units)
            if self._family.keeps_zeros and rows.nnz <= SPARSE * units.size:
                return Batch(units, cast(NDArray, rows))  # all that is asked of it are its products
        elif self._table.dtype == self.dtype:
            self._table.take(indices, axis=0, out=units, mode="clip")  # "raise" would buffer the output
        else:
            units[...] = self._table[indices]
        self._family.encode(units)
        return Batch(units, self._family.bounded(units))

    def blocks(self, size: int) -> Iterator[tuple[slice, Batch]]:
        """Yield the encoded rows in blocks of exactly `size`, the last one filled up by repeating its last row.

        With one shape for every block the linear algebra treats a row alike whatever its neighbours, so that
        what is computed from it depends on the row alone.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            indices = np.minimum(np.arange(start, start + size), stop - 1)
            yield slice(start, stop), self.take(indices)
