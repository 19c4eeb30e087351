"""Columns whose values fall into cells: categories, ordered levels, counts, and real values in intervals."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri

from skwakesleep._engine.arrays.numpy_backend import matrix_rows
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.codecs import AffineMap, Examples, States
from skwakesleep._engine.machine.families import Domain, Grid
from skwakesleep._engine.machine.holes import observed_values

# Added to the number of rows in each cell (Jeffreys' prior), so that no cell is impossible.
PSEUDO_COUNT = 0.5
# Degree of the polynomials by which a machine changes the distribution of an ordered column. With 2 to 4, held-out
# scores of six tables differed by less than .1 nats; with 6 and more, small tables overfit.
DEGREE = 3
# Rows decoded at a time, to bound the scratch memory.
DECODED_ROWS = 1024


class CellCodec:
    """What all columns with cells have in common.

    Units are features of the cells, with mean zero. The probability of a value is that of its cell in the data, times
    the density within the cell, times the factor by which the machine changes the probability of the cell.

    Parameters
    ----------
    probabilities : ndarray of shape (n_columns, n_cells)
        Share of the rows in each cell; zero for cells that a column does not have.
    features : ndarray of shape (n_columns, n_cells, n_features)
        Features of the cells; zero for features that a column does not have.
    """

    is_density = False
    has_base = True
    keeps_zeros = False
    follows_rows = False
    largest_input = np.inf
    dispersion = 1.0

    def __init__(self, probabilities: NDArray, features: NDArray) -> None:
        self.probabilities = probabilities
        self.grid = Grid(probabilities, features)
        self.n_states = probabilities.shape[1]
        self.widths = self.grid.widths
        self.n_units = int(self.widths.sum())
        self.means = np.zeros(self.n_units)
        self.n_active = float(np.einsum("cg,cgr->", probabilities, np.square(features)))
        self.log_volume = np.zeros(len(probabilities))
        self.n_extreme = np.zeros(len(probabilities), int)
        self.n_own_parameters = self.grid.n_cells - 1
        self._column = np.arange(len(probabilities))
        self._used = (features != 0).any(axis=1).ravel()
        with np.errstate(divide="ignore"):  # of cells that a column does not have
            self._log_probabilities = np.log(probabilities)

    def cells(self, columns: NDArray) -> NDArray:
        """Return the cell of each value; any cell for a missing one."""
        raise NotImplementedError

    def log_density(self, columns: NDArray, cells: NDArray) -> NDArray | float:
        """Return the log-probability or log-density of each value given its cell."""
        raise NotImplementedError

    def values(self, cells: NDArray, noise: Noise | None) -> NDArray:
        """Return a value in each cell: drawn, or without noise the middle."""
        raise NotImplementedError

    def inside(self, cells: NDArray) -> NDArray:
        """Return a number that falls into each cell, not always one that a value can have."""
        raise NotImplementedError

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the best guess ``(B, C)`` given the probabilities of the cells ``(B, C, G)``."""
        raise NotImplementedError

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the quantile of each column, ``(B, C)``."""
        raise NotImplementedError

    def log_base(self, columns: NDArray) -> NDArray:
        """Return the log-probability of the values of each row in the data, ``(B,)``, in nats."""
        cells = self.cells(columns)
        log_prob = self._log_probabilities[self._column, cells] + self.log_density(columns, cells)
        return np.where(np.isnan(columns), 0, log_prob).sum(axis=1)

    def encode(self, columns: NDArray, out: NDArray) -> None:
        """Write the features of the cells into `out`."""
        features = self.grid.features[self._column, self.cells(columns)]
        out[...] = features.reshape(len(columns), self._used.size)[:, self._used]

    def decode(self, units: NDArray, noise: Noise | None) -> NDArray:
        """Return values in the cells whose features are nearest to the units."""
        return self.values(self.nearest(units), noise)

    def nearest(self, units: NDArray) -> NDArray:
        """Return the cells whose features are nearest to the units."""
        rows = matrix_rows(units)
        cells = np.empty((len(rows), len(self.probabilities)), np.intp)
        for start in range(0, len(rows), DECODED_ROWS):
            some = slice(start, start + DECODED_ROWS)
            cells[some] = self._nearest_of(rows[some])
        return cells.reshape(*units.shape[:-1], -1)

    def _nearest_of(self, rows: NDArray) -> NDArray:
        """Return the cells whose features are nearest to rows of units ``(M, N)``."""
        n_columns, _, n_features = self.grid.features.shape
        padded = np.zeros((len(rows), self._used.size))
        padded[:, self._used] = rows
        by_column = padded.reshape(len(rows), n_columns, n_features).swapaxes(0, 1)
        nearness = np.matmul(by_column, self.grid.features.swapaxes(1, 2))  # (C, M, G)
        nearness -= np.square(self.grid.features).sum(axis=-1)[:, np.newaxis] / 2
        np.copyto(nearness, -np.inf, where=(self.probabilities == 0)[:, np.newaxis])
        return nearness.argmax(axis=-1).T

    def states(self, column: int) -> States:
        """Return the cells of a column."""
        present = self.probabilities[column] > 0
        used = self._used.reshape(len(self.probabilities), -1)[column]
        return States(self.grid.features[column][present][:, used], self._log_probabilities[column, present])

    def examples(self, column: int) -> Examples:
        """Return a value in each cell of a column."""
        cells = np.arange(self.grid.n_cells[column])
        every = np.repeat(cells[:, np.newaxis], len(self.probabilities), axis=1)
        every = np.minimum(every, self.grid.n_cells - 1)
        values = self.inside(every)
        log_density = np.broadcast_to(self.log_density(values, every), values.shape)
        return Examples(values[:, column], log_density[:, column])

    def merged(self, other: "CellCodec") -> "CellCodec":
        """Return this codec: the cells of the first rows serve all."""
        return self

    def renewed(self, other: "CellCodec") -> "CellCodec":
        """Return this codec, likewise."""
        return self

    def map_to(self, other: "CellCodec") -> AffineMap:
        """Return the identity."""
        return AffineMap(np.ones(self.n_units), np.zeros(self.n_units))

    def is_unseen(self, other: "CellCodec") -> NDArray:
        """Return false for each unit."""
        return np.zeros(self.n_units, bool)

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the codec is of this number of columns."""
        if len(self.probabilities) != n_columns:
            raise ValueError(f"a block of columns is not of {n_columns} columns")


class Categories(CellCodec):
    """Categories without order, by number. Units are indicators minus the share of the category in the data."""

    domain = Domain(0.0, np.inf)

    def __init__(self, probabilities: NDArray) -> None:
        present = probabilities > 0
        indicators = np.eye(probabilities.shape[1]) - probabilities[:, np.newaxis]
        super().__init__(probabilities, indicators * present[:, np.newaxis] * present[..., np.newaxis])

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Categories":
        """Return the codec for the columns of a table, whose missing values are NaN."""
        return cls(category_shares(table))

    def cells(self, columns: NDArray) -> NDArray:
        """Return the numbers of the categories."""
        return np.nan_to_num(columns).astype(np.intp)

    def log_density(self, columns: NDArray, cells: NDArray) -> float:
        """Return zero: a category is its cell."""
        return 0.0

    def values(self, cells: NDArray, noise: Noise | None) -> NDArray:
        """Return the numbers of the categories."""
        return cells

    def inside(self, cells: NDArray) -> NDArray:
        """Return the numbers of the categories."""
        return cells.astype(np.float64)

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the most probable category."""
        return probabilities.argmax(axis=-1)

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the first category up to which the probabilities add up to the level."""
        return cell_of_level(np.cumsum(probabilities, axis=-1), level)


class Levels(Categories):
    """Ordered categories, by number. Units are polynomials of their normal scores.

    Parameters
    ----------
    probabilities : ndarray of shape (n_columns, n_cells)
        Share of the rows in each category.
    degree : int
        Degree of the polynomials.
    """

    def __init__(self, probabilities: NDArray, degree: int) -> None:
        self.degree = degree
        CellCodec.__init__(self, probabilities, polynomials(probabilities, degree))

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Levels":
        """Return the codec for the columns of a table, whose missing values are NaN."""
        return cls(category_shares(table), DEGREE)


def cell_of_level(cumulative: NDArray, level: float) -> NDArray:
    """Return the first cell whose cumulative probability reaches a level of the total."""
    return (cumulative < level * cumulative[..., -1:]).sum(axis=-1)


def category_shares(table: NDArray | sparse.csr_array) -> NDArray:
    """Return the share of each category in each column, ``(n_columns, n_categories)``, with pseudo-counts."""
    observed = [observed_values(table, column).astype(np.intp) for column in range(table.shape[1])]
    n_rows_by_number = [np.bincount(numbers, minlength=1) for numbers in observed]
    counts = np.zeros((table.shape[1], max(map(len, n_rows_by_number))))
    for own, n_rows in zip(counts, n_rows_by_number, strict=True):
        own[: len(n_rows)] = n_rows + PSEUDO_COUNT
    return counts / counts.sum(axis=1, keepdims=True)


def polynomials(probabilities: NDArray, degree: int) -> NDArray:
    """Return polynomials of the normal scores of cells, ``(n_columns, n_cells, degree)``, orthonormal in the data."""
    n_columns, n_cells = probabilities.shape
    features = np.zeros((n_columns, n_cells, min(degree, n_cells - 1)))
    for own, shares in zip(features, probabilities, strict=True):
        shares = shares[shares > 0]
        own_degree = min(degree, len(shares) - 1)
        scores = ndtri(np.cumsum(shares) - shares / 2)
        root = np.sqrt(shares)[:, np.newaxis]
        q, r = np.linalg.qr(root * np.vander(scores, own_degree + 1, increasing=True))
        own[: len(shares), :own_degree] = (q * np.sign(np.diag(r)) / root)[:, 1:]
    return features
