"""The user's table as the engine reads it: a few encoded rows at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.families import Family
from skwakesleep._engine.workspace import Workspace

Table = NDArray | sparse.csr_array


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

    def take(self, indices: NDArray) -> NDArray:
        """Return the encoded rows at `indices`, in an array that is overwritten by the next call."""
        indices = indices if self._subset is None else self._subset[indices]
        batch = self._workspace.array("batch", (len(indices), self._table.shape[1]), self.dtype)
        if not isinstance(self._table, np.ndarray):
            self._table[indices].astype(self.dtype).toarray(out=batch)
        elif self._table.dtype == self.dtype:
            self._table.take(indices, axis=0, out=batch, mode="clip")  # "raise" would buffer the output
        else:
            batch[...] = self._table[indices]
        return self._family.encode(batch)

    def blocks(self, size: int) -> Iterator[tuple[slice, NDArray]]:
        """Yield the encoded rows in blocks of exactly `size`, the last one filled up by repeating its last row.

        With one shape for every block the linear algebra treats a row alike whatever its neighbours, so that
        what is computed from it depends on the row alone.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            indices = np.minimum(np.arange(start, start + size), stop - 1)
            yield slice(start, stop), self.take(indices)
